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
        " --replace --gpus {resources.gpus} 2>&1 | tee {log:q} >&2"


rule bases:
    input:
        lambda w: paths.base_fetched(w.base) if w.base in FETCHED_BASES else [],
    output:
        manifest=paths.base_manifest("{base}"),
    log:
        paths.log("bases/{base}"),
    benchmark:
        paths.benchmark("bases/{base}")
    wildcard_constraints:
        base=one_of(name for name, base in study.bases.items() if base.path or base.hub),
    resources:
        **asks(lambda w: needs.bases(w.base)),
    params:
        model=lambda w: paths.base_model(w.base),
        version=manifest.VERSION,
    message:
        "Indexing base {wildcards.base}"
    shell:
        "alpharl manifest --checkpoint {params.model:q} --step 0 --out {output.manifest:q} 2> {log:q}"


def teacher_file(wildcards):
    teacher = plan.teacher(wildcards.run)
    return teacher[0] if teacher else []


def teacher_option(wildcards):
    teacher = plan.teacher(wildcards.run)
    return [f"--teacher={teacher[1]}"] if teacher else []


def training_data(wildcards):
    return plan.training_data(wildcards.run) or []


def excluded_suites(wildcards):
    """Their questions are not trained on."""
    return [paths.suite(suite) for suite in plan.scored_training_suites(wildcards.run)]


def training_kind(run):
    return tuple(plan.steps(run)), study.runs[run].train.processes


for _index, ((_steps, _processes), _runs) in enumerate(
    alike((training_kind(run), run) for run in TRAINED), 1
):

    rule:
        name:
            numbered("train", _index)
        input:
            base=base_manifest,
            teacher=teacher_file,
            data=training_data,
            suites=excluded_suites,
        output:
            manifests=[paths.checkpoint_manifest("{run}", step) for step in _steps],
        log:
            paths.log("train/{run}"),
        benchmark:
            paths.benchmark("train/{run}")
        wildcard_constraints:
            run=one_of(_runs, among=study.runs),
        priority: 10
        threads: lambda w: study.runs[w.run].train.processes * needs.threads(w.run)
        resources:
            **asks(lambda w: needs.train(w.run)),
        params:
            spec=lambda w: study.runs[w.run].train.model_dump_json(),
            model=base_model,
            out=paths.checkpoints_folder("{run}"),
            pattern=lambda w: paths.checkpoint_manifest(w.run, "{step}"),
            teacher=teacher_option,
            data=lambda w: [
                f"--data={file}" for file in [plan.training_data(w.run)] if file
            ],
            without=lambda w: [f"--without={suite}" for suite in excluded_suites(w)],
            version=TRAIN_VERSION,
        message:
            "Training run {wildcards.run}"
        shell:
            "alpharl train --spec {params.spec:q} --base {params.model:q} --out {params.out:q}"
            " --manifests {params.pattern:q} {params.teacher:q} {params.data:q} {params.without:q}"
            " --replace --gpus {resources.gpus} 2>&1 | tee {log:q} >&2"


def checkpoint_made(wildcards):
    """Of a checkpoint that is fetched or merged, what was done."""
    made = wildcards.run in {*FETCHED_RUNS, *MERGED_RUNS}
    return paths.checkpoint_made(wildcards.run, wildcards.step) if made else []


rule manifest:
    input:
        base=base_manifest,
        made=checkpoint_made if FETCHED_RUNS or MERGED_RUNS else [],
    output:
        manifest=paths.checkpoint_manifest("{run}", "{step}"),
    log:
        paths.log("manifest/{run}/step-{step}"),
    benchmark:
        paths.benchmark("manifest/{run}/step-{step}")
    wildcard_constraints:
        run=one_of(set(study.runs) - set(TRAINED), among=study.runs),
    resources:
        **asks(lambda w: needs.manifest(w.run)),
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
        manifests=lambda w: [
            paths.checkpoint_manifest(w.run, step) for step in plan.steps(w.run)
        ],
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
