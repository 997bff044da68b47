# Rank-k models, controls and forecasts: small folders made from factors, grams and scores; and how
# far the forecasts' weights are from trained ones.
from alpharl.forecasting import VERSION as FORECAST_VERSION
from alpharl.variants import RANK_VERSION, TRUTH_VERSION

RANKS = {(run, v.name): v for run in study.runs for v in plan.rank_variants(run)}
FORECASTS = {(run, f.name): f for run in study.runs for f in plan.forecasts(run)}


def rank_of(wildcards):
    return RANKS[wildcards.run, wildcards.variant]


def forecast_of(wildcards):
    return FORECASTS[wildcards.run, wildcards.forecast]


def forecast_inputs(wildcards):
    """What the method needs; the gram always, for the size of what is predicted."""
    run, forecast = wildcards.run, forecast_of(wildcards)
    needed = {"gram": gram_files(run)}
    if "factors" in forecast.reads:
        seen = [step for step in plan.steps(run) if step <= forecast.through]
        needed["factors"] = factor_files(run, seen)
    if "scores" in forecast.reads:
        needed["scores"] = paths.accuracy(run, study.validation_suite)
    if "suite" in forecast.reads:
        needed["suite"] = paths.suite(study.validation_suite)
    return needed


def forecast_suite(wildcards, input):
    """Options for scoring trial models, of a method that does."""
    if "suite" not in input.keys():
        return []
    return [f"--suite={input.suite}", *engine_options()]


def target_steps(wildcards):
    return sorted({forecast.target_step for forecast in plan.known(wildcards.run)})


def known_forecasts(wildcards):
    return [paths.forecast(wildcards.run, f.name) for f in plan.known(wildcards.run)]


rule rank:
    input:
        factors=lambda w: factor_files(w.run, [rank_of(w).step]),
    output:
        variant=f"{paths.variant('{run}', '{variant}')}/variant.json",
    log:
        paths.log("rank/{run}/{variant}"),
    benchmark:
        paths.benchmark("rank/{run}/{variant}")
    wildcard_constraints:
        variant=one_of(name for _, name in RANKS),
    resources:
        **asks(lambda w: needs.rank(w.run)),
    params:
        base=base_model,
        model=lambda w: paths.checkpoint(w.run, rank_of(w).step),
        recipe=lambda w: rank_of(w).recipe.options,
        step=lambda w: rank_of(w).step,
        seed=study.ablation.seed,
        folder=paths.variant("{run}", "{variant}"),
        version=RANK_VERSION,
    message:
        "Making {wildcards.variant} of {wildcards.run}"
    shell:
        "alpharl rank --base {params.base:q} --checkpoint {params.model:q}"
        " {params.recipe} --step {params.step} --seed {params.seed} --factors {input.factors:q}"
        " --out {params.folder:q} 2> {log:q}"


rule forecast:
    input:
        unpack(forecast_inputs),
    output:
        variant=f"{paths.forecast('{run}', '{forecast}')}/variant.json",
    log:
        paths.log("forecast/{run}/{forecast}"),
    benchmark:
        paths.benchmark("forecast/{run}/{forecast}")
    wildcard_constraints:
        forecast=one_of(name for _, name in FORECASTS),
    resources:
        **asks(lambda w: needs.forecast(w.run, forecast_of(w))),
    params:
        base=base_model,
        checkpoints=lambda w: paths.checkpoint_options(w.run),
        steps=lambda w: plan.steps(w.run),
        through=lambda w: forecast_of(w).through,
        target=lambda w: forecast_of(w).target_option,
        amplitude=lambda w: forecast_of(w).amplitude,
        method=lambda w: forecast_of(w).options.method,
        options=lambda w: [f"--option={o}" for o in forecast_of(w).option_pairs],
        factors=lambda w: paths.factors(w.run, "{step}", "{shard}"),
        gram=lambda w: paths.gram(w.run, "{shard}"),
        shards=study.spectra.shards,
        scores=lambda w, input: [
            f"--scores={path}" for path in [input.get("scores")] if path
        ],
        suite=forecast_suite,
        folder=paths.forecast("{run}", "{forecast}"),
        version=FORECAST_VERSION,
    message:
        "Forecasting {wildcards.run}: {wildcards.forecast}"
    shell:
        "alpharl forecast --base {params.base:q} --checkpoints {params.checkpoints:q} --steps {params.steps}"
        " --through {params.through} {params.target} --amplitude {params.amplitude} --method {params.method}"
        " {params.options:q} {params.scores:q} {params.suite:q} --factors {params.factors:q} --gram {params.gram:q}"
        " --shards {params.shards} --record-undefined --gpus {resources.gpu} --out {params.folder:q} > {log:q} 2>&1"


rule truth:
    input:
        base=base_manifest,
        targets=lambda w: [
            paths.checkpoint_manifest(w.run, step) for step in target_steps(w)
        ],
        forecasts=lambda w: [f"{folder}/variant.json" for folder in known_forecasts(w)],
        gram=lambda w: gram_files(w.run),
    output:
        table=paths.truth("{run}"),
        csv=paths.truth("{run}").replace(".parquet", ".csv"),
    log:
        paths.log("truth/{run}"),
    benchmark:
        paths.benchmark("truth/{run}")
    wildcard_constraints:
        run=one_of([r for r in study.runs if plan.known(r)], among=study.runs),
    resources:
        **asks(lambda w: needs.truth(w.run)),
    params:
        variants=known_forecasts,
        models=lambda w: [paths.checkpoint(w.run, step) for step in target_steps(w)],
        steps=target_steps,
        version=TRUTH_VERSION,
    message:
        "Comparing the forecasts of {wildcards.run} with its trained weights"
    shell:
        "alpharl truth --variant {params.variants:q} --target {params.models:q}"
        " --step {params.steps} --gram {input.gram:q} --out {output.table:q} > {log:q} 2>&1"
