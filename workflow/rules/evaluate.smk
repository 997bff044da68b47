# Suites, and scores of everything on them: one process per batch, one result file per variant.
from alpharl.evaluation import (
    FETCH_VERSION,
    SCORE_VERSION,
    SUITE_VERSION,
    TOKENS_VERSION,
)
from alpharl.evaluation.datasets import role_of
from alpharl.names import BASE, checkpoint_name, checkpoint_step
from alpharl.study.data_files import fetched
from alpharl.variants import RANK_VERSION

FETCHED = fetched(
    study.suites.values(), [run.train for run in study.runs.values() if run.train]
)


def own_task_files(folder):
    """Files of the user's own tasks: a change of one makes the suite anew."""
    kinds = {".yaml", ".yml", ".py", ".json", ".jsonl"}
    files = Path(folder).rglob("*") if folder else []
    return sorted(str(path) for path in files if path.suffix in kinds)


# Needs a network, as `download` of sources.smk does: `snakemake --until fetch` on a login node runs it
# alone.
rule fetch:
    input:
        # The user's own file, where the task names one.
        local=lambda w: FETCHED[w.file].data or [],
    output:
        # Other studies may read them too: what is there and right is kept.
        data=update(paths.data("{file}")),
        about=update(paths.data("{file}.json")),
    log:
        paths.log("fetch/{file}"),
    benchmark:
        paths.benchmark("fetch/{file}")
    wildcard_constraints:
        file=one_of(FETCHED),
    priority: 100
    localrule: True
    params:
        task=lambda w: FETCHED[w.file].task,
        split=lambda w: role_of(FETCHED[w.file]),
        local=lambda w, input: [f"--data={input.local}"] if input.local else [],
        sha256=lambda w: [f"--sha256={h}" for h in [FETCHED[w.file].sha256] if h],
        version=FETCH_VERSION,
    message:
        "Fetching the questions {wildcards.file}"
    shell:
        "alpharl fetch --task {params.task:q} --split {params.split} {params.local:q} {params.sha256:q}"
        " --out {output.data:q} > {log:q} 2>&1"


rule suite:
    input:
        data=lambda w: [paths.data(file) for file in fetched([study.suites[w.suite]])],
        own=lambda w: own_task_files(study.suites[w.suite].include_path),
    output:
        suite=paths.suite("{suite}"),
    log:
        paths.log("suite/{suite}"),
    benchmark:
        paths.benchmark("suite/{suite}")
    priority: 100
    localrule: True
    params:
        spec=lambda w: study.suites[w.suite].model_dump_json(),
        folder=paths.data_folder,
        version=SUITE_VERSION,
    message:
        "Fixing the questions of suite {wildcards.suite}"
    shell:
        "alpharl suite --name {wildcards.suite} --spec {params.spec:q} --data {params.folder:q}"
        " --out {output.suite:q} > {log:q} 2>&1"


rule disjoint:
    input:
        suites=[paths.suite(suite) for suite in study.suites],
    output:
        checked=paths.disjoint,
    log:
        paths.log("disjoint"),
    benchmark:
        paths.benchmark("disjoint")
    priority: 100
    localrule: True
    message:
        "Checking that no question is both fitted and tested on"
    shell:
        "alpharl disjoint --suites {input.suites:q} --out {output.checked:q} 2> {log:q}"


BATCHES = plan.batches()


def checked(wildcards):
    """Only test scores wait for the check: nothing that is fitted reads a test suite."""
    return paths.disjoint if study.suites[wildcards.suite].role == "test" else []


def scored_manifests(group, names):
    """Digests of what is scored: of the checkpoints, or of what variants are made from."""
    if group == "variants":
        return lambda w: [base_manifest(w), checkpoints_of(w)]
    steps = [step for name in names if (step := checkpoint_step(name))]
    return lambda w: [
        base_manifest(w),
        *(paths.checkpoint_manifest(w.run, step) for step in steps),
    ]


def variant_files(variants):
    """What says that variants are made; of checkpoints, the manifests do."""
    return lambda w: [f"{plan.folder(w.run, v)}/variant.json" for v in variants]


def scoring_need(count):
    return lambda w: needs.evaluate(w.run, w.suite, count)


def variant_options(variants):
    return lambda w: [f"--variant={v}={plan.folder(w.run, v)}" for v in variants]


# Results that are there are kept (`update`): the verb scores only what has none for exactly this
# model, suite and setting.
for _group in ("checkpoints", "variants"):
    for _index, ((_part, _variants), _runs) in enumerate(
        alike(((b.part, b.variants), b.run) for b in BATCHES if b.group == _group), 1
    ):

        rule:
            name:
                numbered(f"evaluate_{_group}", _index)
            input:
                suite=paths.suite("{suite}"),
                checked=checked,
                manifests=scored_manifests(_group, _variants),
                variants=variant_files(_variants) if _group == "variants" else [],
            output:
                scores=[update(paths.score("{run}", "{suite}", v)) for v in _variants],
            log:
                paths.log(f"evaluate/{{run}}/{{suite}}/{_group}-{_part}"),
            benchmark:
                paths.benchmark(f"evaluate/{{run}}/{{suite}}/{_group}-{_part}")
            wildcard_constraints:
                run=one_of(_runs, among=study.runs),
                suite=one_of(
                    (b.suite for b in BATCHES if b.group == _group), among=study.suites
                ),
            threads: threads_of()
            resources:
                **asks(scoring_need(len(_variants))),
            params:
                base=base_model,
                run="{run}",
                variants=variant_options(_variants),
                folder=paths.scores("{run}", "{suite}"),
                engine=literal(engine_options()),
                # A forecast may well be a model that never stops; a checkpoint that does not stop
                # within the budget is a suite that measures the budget.
                allow="--allow-truncation" if _group == "variants" else "",
                version=SCORE_VERSION,
            message:
                f"Scoring the {_group} of {{wildcards.run}} on {{wildcards.suite}}"
            shell:
                "alpharl evaluate --suite {input.suite:q} --base {params.base:q} --run {params.run:q}"
                " {params.variants:q} --manifests {input.manifests:q} {params.engine:q} {params.allow}"
                " --out {params.folder:q} --gpus {resources.gpus} 2>&1 | tee {log:q} >&2"


rule tokens:
    input:
        suite=lambda w: paths.suite(study.tokens.suite),
        base=base_manifest,
        full=lambda w: paths.checkpoint_manifest(w.run, plan.steps(w.run)[-1]),
        # Made again with every new rank of the run, as they were unless the factors changed.
        factors=lambda w: factor_files(w.run, plan.steps(w.run)[-1:]),
        ranks=lambda w: [
            ancient(f"{plan.folder(w.run, variant)}/variant.json")
            for variant in plan.token_variants(w.run)[1:]
        ],
        # The checkpoints are scored again where the suite or the engine changed, and with them all
        # others. A job that scores a new variant touches none of the old ones' answers.
        scores=lambda w: [
            paths.score(w.run, study.tokens.suite, checkpoint_name(step))
            for step in (0, plan.steps(w.run)[-1])
        ],
        rank_scores=lambda w: [
            ancient(paths.score(w.run, study.tokens.suite, variant))
            for variant in plan.token_variants(w.run)[1:]
        ],
    output:
        reading=f"{paths.tokens('{run}')}/reading.csv",
        prefix=f"{paths.tokens('{run}')}/prefix.csv",
    log:
        paths.log("tokens/{run}"),
    benchmark:
        paths.benchmark("tokens/{run}")
    threads: threads_of()
    resources:
        **asks(lambda w: needs.tokens(w.run)),
    params:
        base=base_model,
        writers=lambda w: [
            f"--writer={name}={paths.answers(w.run, study.tokens.suite, variant)}"
            for name, variant in [
                ("base", BASE),
                *((v, v) for v in plan.token_variants(w.run)),
            ]
        ],
        readers=lambda w: [
            f"--reader={variant}={plan.folder(w.run, variant)}"
            for variant in plan.token_variants(w.run)
        ],
        prefix=study.tokens.prefix,
        engine=literal(engine_options()),
        dtype=study.evaluation.dtype,
        batch_size=study.evaluation.batch_size,
        known=lambda w, input: [input.base, input.full],
        folder=lambda w: paths.tokens(w.run),
        version=TOKENS_VERSION,
        rank_version=RANK_VERSION,
    message:
        "Reading the answers of {wildcards.run} token by token"
    shell:
        "alpharl tokens --suite {input.suite:q} --base {params.base:q} {params.writers:q}"
        " {params.readers:q} --manifests {params.known:q} --prefix {params.prefix} --dtype {params.dtype}"
        " --batch-size {params.batch_size} --out {params.folder:q} --gpus {resources.gpus}"
        " > {log:q} 2>&1"


rule accuracy:
    input:
        scores=lambda w: [
            paths.score(w.run, w.suite, checkpoint_name(s))
            for s in [0, *plan.steps(w.run)]
        ],
    output:
        table=paths.accuracy("{run}", "{suite}"),
    log:
        paths.log("accuracy/{run}/{suite}"),
    benchmark:
        paths.benchmark("accuracy/{run}/{suite}")
    localrule: True
    message:
        "Accuracy over steps of {wildcards.run} on {wildcards.suite}"
    shell:
        "alpharl accuracy --scores {input.scores:q} --out {output.table:q} 2> {log:q}"
