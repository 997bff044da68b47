# The report reads everything that the study made.


rule report:
    input:
        scores=[
            paths.score(b.run, b.suite, v) for b in plan.batches() for v in b.variants
        ],
        accuracy=[
            paths.accuracy(run, suite) for run in study.runs for suite in study.suites
        ],
        dynamics=[paths.dynamics(run) for run in plan.trajectories],
        pcas=[paths.pca(run) for run in plan.trajectories],
        floors=[paths.floor(run) for run in study.runs],
        sparsities=[paths.sparsity(run) for run in study.runs],
        forecasts=[
            f"{paths.forecast(run, name)}/variant.json" for run, name in FORECASTS
        ],
        tokens=[
            f"{paths.tokens(run)}/{table}.csv"
            for run in study.runs
            for table in ("reading", "prefix")
            if study.tokens.suite
        ],
        truths=[paths.truth(run) for run in study.runs if plan.known(run)],
        checkpoints=[paths.checkpoints(run) for run in study.runs],
        factors=[
            path for run in study.runs for path in factor_files(run, plan.steps(run))
        ],
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
