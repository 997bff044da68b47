# What each update is like: all measures of a run in one pass over its weights.


def measured_factors(wildcards):
    """The factors that measures read."""
    return factor_files(wildcards.run, plan.measured_steps(wildcards.run, "factors"))


def measured_gram(wildcards):
    read = any("gram" in measure.reads for measure in plan.measures.values())
    return gram_files(wildcards.run) if read else []


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
            factors=lambda w: paths.factors(w.run, "{step}", "{shard}"),
            grams=lambda w: paths.gram(w.run, "{shard}"),
            shards=study.spectra.shards,
            options=measure_options(),
            stage=spectra_options(),
            folder=paths.measures("{run}"),
            version=[measure.version for measure in plan.measures.values()],
        message:
            "Measuring the updates of {wildcards.run}"
        shell:
            "alpharl measure {params.names} --base {params.base:q} --checkpoints {params.models:q}"
            " --steps {params.steps} --factors {params.factors:q} --gram {params.grams:q}"
            " --shards {params.shards} {params.stage:q} {params.options:q} --gpus {resources.gpus}"
            " --out {params.folder:q} > {log:q} 2>&1"
