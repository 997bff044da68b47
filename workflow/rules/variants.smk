# Rank-k models, controls and forecasts: small folders made from factors, grams and scores.
from alpharl.forecasting import VERSION as FORECAST_VERSION
from alpharl.variants import RANK_VERSION

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
    if "factors" in forecast.needs:
        seen = [step for step in plan.steps(run) if step <= forecast.through]
        needed["factors"] = factor_files(run, seen)
    if "scores" in forecast.needs:
        needed["scores"] = paths.accuracy(run, study.validation_suite)
    return needed


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
        mem_mb=gigabytes(2),
        runtime=hours(0.5),
    params:
        base=base_model,
        model=lambda w: paths.checkpoint(w.run, rank_of(w).step),
        recipe=lambda w: rank_of(w).recipe.options,
        step=lambda w: rank_of(w).step,
        seed=study.ablation.seed,
        folder=lambda w: paths.variant(w.run, w.variant),
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
        mem_mb=gigabytes(2),
        runtime=hours(0.5),
    params:
        base=base_model,
        pattern=lambda w: paths.checkpoint_pattern(w.run),
        steps=lambda w: plan.steps(w.run),
        through=lambda w: forecast_of(w).through,
        target=lambda w: forecast_of(w).target_step,
        method=lambda w: forecast_of(w).options.method,
        options=lambda w: [f"--option={o}" for o in forecast_of(w).option_pairs],
        factors=lambda w: paths.factors(w.run, "{step}", "{shard}"),
        gram=lambda w: paths.gram(w.run, "{shard}"),
        shards=study.spectra.shards,
        scores=lambda w, input: [
            f"--scores={path}" for path in [input.get("scores")] if path
        ],
        folder=lambda w: paths.forecast(w.run, w.forecast),
        version=FORECAST_VERSION,
    message:
        "Forecasting {wildcards.run}: {wildcards.forecast}"
    shell:
        "alpharl forecast --base {params.base:q} --checkpoints {params.pattern:q} --steps {params.steps}"
        " --through {params.through} --target-step {params.target} --method {params.method}"
        " {params.options:q} {params.scores:q} --factors {params.factors:q} --gram {params.gram:q}"
        " --shards {params.shards} --record-undefined --out {params.folder:q} > {log:q} 2>&1"
