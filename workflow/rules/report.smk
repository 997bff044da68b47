# The report reads everything that the study made.


def of_runs(file, runs=study.runs):
    """Input function: a file, or files, of each of some runs."""
    return lambda wildcards: [path for run in runs for path in file(run)]


def token_tables(run):
    tables = ("reading", "prefix") if study.tokens.suite else ()
    return [f"{paths.tokens(run)}/{table}.csv" for table in tables]


rule report:
    input:
        # Behind these stand all others that it reads: the checkpoints' scores behind accuracies, the
        # forecasts behind their scores, factors and grams behind fits.
        scores=lambda _: [
            paths.score(b.run, b.suite, v)
            for b in BATCHES
            if b.group == "variants"
            for v in b.variants
        ],
        accuracy=of_runs(lambda run: [paths.accuracy(run, s) for s in study.suites]),
        dynamics=of_runs(lambda run: [paths.dynamics(run)], plan.trajectories),
        pcas=of_runs(lambda run: [paths.pca(run)], plan.trajectories),
        floors=of_runs(lambda run: [paths.floor(run)]),
        sparsities=of_runs(lambda run: [paths.sparsity(run)]),
        tokens=of_runs(token_tables),
        truths=of_runs(lambda run: [paths.truth(run)] if plan.known(run) else []),
        checkpoints=of_runs(lambda run: [paths.checkpoints(run)]),
        factors=of_runs(
            lambda run: (
                [] if run in plan.trajectories else factor_files(run, plan.steps(run))
            )
        ),
    output:
        html=paths.report,
        study=paths.resolved,
    log:
        paths.log("report"),
    benchmark:
        paths.benchmark("report")
    localrule: True
    params:
        spec=literal(study.model_dump_json()),
    message:
        "Writing the report of study {study.study}"
    shell:
        "alpharl report --spec {params.spec:q} > {log:q} 2>&1"
