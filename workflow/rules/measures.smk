# What each update is like: all measures of a run in one pass over its weights.


def measured_factors(wildcards):
    """The factors that measures read."""
    return factor_files(wildcards.run, plan.measured_steps(wildcards.run, "factors"))


READ = {name for measure in plan.measures.values() for name in measure.reads}


def measured_gram(wildcards):
    return gram_files(wildcards.run) if "gram" in READ else []


def measured_stores(wildcards):
    """Where factors and gram are, of those that some measure reads."""
    run = wildcards.run
    stores = {
        "factors": paths.factors(run, "{step}", "{shard}"),
        "gram": paths.gram(run, "{shard}"),
    }
    given = [f"--{name}={path}" for name, path in stores.items() if name in READ]
    return [*given, *([f"--shards={study.spectra.shards}"] if given else [])]


def measure_options():
    """Every option of every measure, so that a change of one makes them again."""
    return [
        f"--option={name}.{key}={value}"
        for name, measure in plan.measures.items()
        for key, value in measure.model_dump(mode="json", exclude_none=True).items()
    ]


def measure_tables(suffix):
    return [
        paths.measure("{run}", name).replace(".parquet", suffix)
        for name in plan.measures
    ]


if plan.measures:

    rule measures:
        input:
            base=base_manifest,
            checkpoints=checkpoints_of,
            factors=measured_factors,
            gram=measured_gram,
        output:
            tables=measure_tables(".parquet"),
            csvs=measure_tables(".csv"),
        log:
            paths.log("measures/{run}"),
        benchmark:
            paths.benchmark("measures/{run}")
        threads: threads_of()
        resources:
            **asks(lambda w: needs.measures(w.run)),
        params:
            base=base_model,
            models=lambda w: paths.checkpoint_options(w.run),
            steps=lambda w: plan.steps(w.run),
            names=list(plan.measures),
            stores=measured_stores,
            options=measure_options(),
            stage=spectra_options(),
            folder=paths.measures("{run}"),
            version=[measure.version for measure in plan.measures.values()],
        message:
            "Measuring the updates of {wildcards.run}"
        shell:
            "alpharl measure {params.names} --base {params.base:q} --checkpoints {params.models:q}"
            " --steps {params.steps} {params.stores:q} {params.stage:q} {params.options:q}"
            " --gpus {resources.gpus} --out {params.folder:q} > {log:q} 2>&1"
