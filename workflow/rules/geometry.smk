# Where updates land: which entries they leave as they were.
from alpharl.geometry import SPARSITY_VERSION


def sparsity_steps(wildcards):
    return plan.sparsity_steps(wildcards.run)


rule geometry:
    input:
        base=base_manifest,
        checkpoints=checkpoints_of,
    output:
        table=paths.sparsity("{run}"),
        csv=paths.sparsity("{run}").replace(".parquet", ".csv"),
    log:
        paths.log("geometry/{run}"),
    benchmark:
        paths.benchmark("geometry/{run}")
    resources:
        **asks(lambda w: needs.geometry(w.run)),
    params:
        base=base_model,
        checkpoints=lambda w: paths.checkpoint_options(w.run),
        steps=sparsity_steps,
        options=spectra_options(),
        seed=study.dynamics.seed,
        version=SPARSITY_VERSION,
    message:
        "Counting what the updates of {wildcards.run} leave as it was"
    shell:
        "alpharl geometry --base {params.base:q} --checkpoints {params.checkpoints:q} --steps {params.steps}"
        " {params.options:q} --seed {params.seed} --out {output.table:q} > {log:q} 2>&1"
