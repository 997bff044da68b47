# Bases and checkpoints: made here, or the user's own; each with a manifest that stands for it.
from alpharl.training import PRETRAIN_VERSION, TRAIN_VERSION

PRETRAINED = [name for name, base in study.bases.items() if base.pretrain]
TRAINED = [name for name, run in study.runs.items() if run.train]


rule pretrain:
    output:
        manifest=paths.base_manifest("{base}"),
    log:
        paths.log("pretrain/{base}"),
    benchmark:
        paths.benchmark("pretrain/{base}")
    wildcard_constraints:
        base=one_of(PRETRAINED),
    threads: 1
    resources:
        **asks(lambda w: needs.pretrain()),
    params:
        spec=lambda w: study.bases[w.base].pretrain.model_dump_json(),
        model=lambda w: paths.base_model(w.base),
        version=PRETRAIN_VERSION,
    message:
        "Pretraining base {wildcards.base}"
    shell:
        "alpharl pretrain --spec {params.spec:q} --out {params.model:q} --manifest {output.manifest:q}"
        " --gpus {resources.gpu} 2>&1 | tee {log:q} >&2"


rule base_manifest:
    input:
        lambda w: paths.base_fetched(w.base) if w.base in FETCHED_BASES else [],
    output:
        manifest=paths.base_manifest("{base}"),
    log:
        paths.log("manifest/{base}"),
    benchmark:
        paths.benchmark("manifest/{base}")
    wildcard_constraints:
        base=one_of(name for name, base in study.bases.items() if base.path or base.hub),
    resources:
        **asks(lambda w: needs.index_base(w.base)),
    params:
        model=lambda w: paths.base_model(w.base),
        version=manifest.VERSION,
    message:
        "Indexing base {wildcards.base}"
    shell:
        "alpharl manifest --checkpoint {params.model:q} --step 0 --out {output.manifest:q} 2> {log:q}"


# One rule per trained run, since the number of its checkpoints is its own.
for _run in TRAINED:
    _teacher, _data = plan.teacher(_run), plan.training_data(_run)
    _processes = study.runs[_run].train.processes

    rule:
        name:
            f"train_{_run}"
        input:
            base=paths.base_manifest(base_of(_run)),
            teacher=_teacher[0] if _teacher else [],
            data=_data or [],
            # Their questions are not trained on.
            suites=[paths.suite(s) for s in plan.scored_training_suites(_run)],
        output:
            manifests=[
                paths.checkpoint_manifest(_run, step) for step in plan.steps(_run)
            ],
        log:
            paths.log(f"train/{_run}"),
        benchmark:
            paths.benchmark(f"train/{_run}")
        priority: 10
        threads: _processes * needs.threads(_run)
        resources:
            **asks(lambda w, run=_run: needs.train(run)),
        params:
            spec=literal(study.runs[_run].train.model_dump_json()),
            model=paths.base_model(base_of(_run)),
            out=paths.checkpoints_folder(_run),
            pattern=literal(paths.checkpoint_manifest(_run, "{step}")),
            teacher=[f"--teacher={_teacher[1]}"] if _teacher else [],
            data=[f"--data={_data}"] if _data else [],
            without=[
                f"--without={paths.suite(s)}"
                for s in plan.scored_training_suites(_run)
            ],
            version=TRAIN_VERSION,
        message:
            f"Training run {_run}"
        shell:
            "alpharl train --spec {params.spec:q} --base {params.model:q} --out {params.out:q}"
            " --manifests {params.pattern:q} {params.teacher:q} {params.data:q} {params.without:q}"
            " --gpus {resources.gpu} 2>&1 | tee {log:q} >&2"


rule checkpoint_manifest:
    input:
        base=base_manifest,
        made=lambda w: (
            paths.checkpoint_made(w.run, w.step)
            if w.run in [*FETCHED_RUNS, *MERGED_RUNS]
            else []
        ),
    output:
        manifest=paths.checkpoint_manifest("{run}", "{step}"),
    log:
        paths.log("manifest/{run}/step-{step}"),
    benchmark:
        paths.benchmark("manifest/{run}/step-{step}")
    wildcard_constraints:
        run=one_of(name for name in study.runs if name not in TRAINED),
    resources:
        **asks(lambda w: needs.index(w.run)),
    params:
        base=base_model,
        model=lambda w: paths.checkpoint(w.run, int(w.step)),
        version=manifest.VERSION,
    message:
        "Indexing {wildcards.run} step {wildcards.step}"
    shell:
        "alpharl manifest --checkpoint {params.model:q} --step {wildcards.step} --base {params.base:q}"
        " --manifests {input.base:q} --out {output.manifest:q} 2> {log:q}"


rule checkpoints:
    input:
        manifests=manifests,
    output:
        table=paths.checkpoints("{run}"),
    log:
        paths.log("checkpoints/{run}"),
    benchmark:
        paths.benchmark("checkpoints/{run}")
    localrule: True
    params:
        base=lambda w: base_of(w.run),
    message:
        "Listing the checkpoints of {wildcards.run}"
    shell:
        "alpharl checkpoints --run {wildcards.run} --base {params.base:q}"
        " --manifests {input.manifests:q} --out {output.table:q} 2> {log:q}"
