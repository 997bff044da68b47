# Rank-k models, controls and forecasts: small folders made from factors, grams and scores; and how
# far the forecasts' weights are from trained ones.
from alpharl.forecasting import VERSION as FORECAST_VERSION
from alpharl.study.forecasts import FORECAST_VARIANTS
from alpharl.variants.recipes import RANK_VARIANTS
from alpharl.variants import RANK_VERSION, TRUTH_VERSION

SLOW = {(run, f.name): f for run in study.runs for f in plan.slow_forecasts(run)}


def names_of(variants):
    return tuple(variant.name for variant in variants)


def reads(run, forecasts):
    """What fits read; the gram always, for the size of what is predicted."""
    needed = {"gram": gram_files(run), "audit": paths.audit(run)}
    last = max((f.through for f in forecasts if "factors" in f.reads), default=0)
    if last:
        seen = [step for step in plan.steps(run) if step <= last]
        needed["factors"] = factor_files(run, seen)
    if any("scores" in f.reads for f in forecasts):
        needed["scores"] = paths.accuracy(run, study.validation_suite)
    return needed


def slow_inputs(wildcards):
    forecast = SLOW[wildcards.run, wildcards.forecast]
    needed = reads(wildcards.run, [forecast])
    if "suite" in forecast.reads:
        needed["suite"] = paths.suite(study.validation_suite)
        needed["manifests"] = [base_manifest(wildcards), checkpoints_of(wildcards)]
    return needed


def scores_option(wildcards, input):
    return [f"--scores={path}" for path in [input.get("scores")] if path]


def forecast_suite(wildcards, input):
    """Options for scoring trial models, of a method that does."""
    if "suite" not in input.keys():
        return []
    kept = paths.trials(wildcards.run, wildcards.forecast)
    options = [f"--suite={input.suite}", *engine_options(), f"--trials={kept}"]
    return [*options, "--manifests", *input.manifests]


def target_steps(wildcards):
    return sorted({forecast.target_step for forecast in plan.known(wildcards.run)})


def known_forecasts(wildcards):
    return [paths.forecast(wildcards.run, f.name) for f in plan.known(wildcards.run)]


for _index, (_names, _runs) in enumerate(
    alike((names_of(plan.rank_variants(run)), run) for run in study.runs), 1
):
    if not _names:
        continue

    rule:
        name:
            numbered("rank", _index)
        input:
            audit=audited,
            factors=lambda w: factor_files(
                w.run, sorted({v.step for v in plan.rank_variants(w.run)})
            ),
        output:
            variants=[f"{paths.rank('{run}', name)}/variant.json" for name in _names],
        log:
            paths.log("rank/{run}"),
        benchmark:
            paths.benchmark("rank/{run}")
        wildcard_constraints:
            run=one_of(_runs, among=study.runs),
        resources:
            **asks(lambda w: needs.rank(w.run)),
        params:
            base=base_model,
            checkpoints=lambda w: paths.checkpoint_options(w.run),
            steps=lambda w: plan.steps(w.run),
            spec=lambda w: RANK_VARIANTS.dump_json(plan.rank_variants(w.run)).decode(),
            seed=study.rank.seed,
            factors=lambda w: paths.factors(w.run, "{step}", "{shard}"),
            shards=study.spectra.shards,
            folder=paths.rank("{run}", ""),
            version=RANK_VERSION,
        message:
            "Making the rank-k models of {wildcards.run}"
        shell:
            "alpharl ranks --base {params.base:q} --checkpoints {params.checkpoints:q} --steps {params.steps}"
            " --spec {params.spec:q} --seed {params.seed} --factors {params.factors:q}"
            " --shards {params.shards} --out {params.folder:q} 2> {log:q}"


for _index, (_names, _runs) in enumerate(
    alike((names_of(plan.quick_forecasts(run)), run) for run in plan.trajectories), 1
):
    if not _names:
        continue

    rule:
        name:
            numbered("forecasts", _index)
        input:
            unpack(lambda w: reads(w.run, plan.quick_forecasts(w.run))),
        output:
            variants=[
                f"{paths.forecast('{run}', name)}/variant.json" for name in _names
            ],
        log:
            paths.log("forecast/{run}"),
        benchmark:
            paths.benchmark("forecast/{run}")
        wildcard_constraints:
            run=one_of(_runs, among=study.runs),
        resources:
            **asks(lambda w: needs.forecasts(w.run)),
        params:
            base=base_model,
            checkpoints=lambda w: paths.checkpoint_options(w.run),
            steps=lambda w: plan.steps(w.run),
            spec=lambda w: FORECAST_VARIANTS.dump_json(
                plan.quick_forecasts(w.run)
            ).decode(),
            factors=lambda w: paths.factors(w.run, "{step}", "{shard}"),
            gram=lambda w: paths.gram(w.run, "{shard}"),
            shards=study.spectra.shards,
            scores=scores_option,
            folder=paths.forecast("{run}", ""),
            version=FORECAST_VERSION,
        message:
            "Forecasting {wildcards.run}"
        shell:
            "alpharl forecasts --base {params.base:q} --checkpoints {params.checkpoints:q} --steps {params.steps}"
            " --spec {params.spec:q} {params.scores:q} --factors {params.factors:q} --gram {params.gram:q}"
            " --shards {params.shards} --out {params.folder:q} > {log:q} 2>&1"


rule forecast:
    input:
        unpack(slow_inputs),
    output:
        variant=f"{paths.forecast('{run}', '{forecast}')}/variant.json",
    log:
        paths.log("forecast/{run}/{forecast}"),
    benchmark:
        paths.benchmark("forecast/{run}/{forecast}")
    wildcard_constraints:
        forecast=one_of(name for _, name in SLOW),
    threads: threads_of()
    resources:
        **asks(lambda w: needs.forecast(w.run, SLOW[w.run, w.forecast])),
    params:
        base=base_model,
        checkpoints=lambda w: paths.checkpoint_options(w.run),
        steps=lambda w: plan.steps(w.run),
        through=lambda w: SLOW[w.run, w.forecast].through,
        target=lambda w: SLOW[w.run, w.forecast].target_option,
        amplitude=lambda w: SLOW[w.run, w.forecast].amplitude,
        method=lambda w: SLOW[w.run, w.forecast].options.method,
        options=lambda w: [
            f"--option={pair}" for pair in SLOW[w.run, w.forecast].option_pairs
        ],
        factors=lambda w: paths.factors(w.run, "{step}", "{shard}"),
        gram=lambda w: paths.gram(w.run, "{shard}"),
        shards=study.spectra.shards,
        scores=scores_option,
        suite=forecast_suite,
        folder=paths.forecast("{run}", "{forecast}"),
        version=FORECAST_VERSION,
    message:
        "Forecasting {wildcards.run}: {wildcards.forecast}"
    shell:
        "alpharl forecast --base {params.base:q} --checkpoints {params.checkpoints:q} --steps {params.steps}"
        " --through {params.through} {params.target} --amplitude {params.amplitude} --method {params.method}"
        " {params.options:q} {params.scores:q} {params.suite:q} --factors {params.factors:q} --gram {params.gram:q}"
        " --shards {params.shards} --record-undefined --gpus {resources.gpus} --out {params.folder:q} > {log:q} 2>&1"


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
