# The report reads everything that the study made.
from alpharl.study.stages import report_inputs


rule report:
    input:
        lambda _: report_inputs(plan),
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
