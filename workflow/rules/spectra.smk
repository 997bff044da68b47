# Factors per checkpoint and shard, gram per run and shard, the audit of the gram, and the fits made
# from both.
import json

from alpharl.dynamics import VERSION as DYNAMICS_VERSION
from alpharl.spectra import AUDIT_VERSION, FACTORS_VERSION, GRAM_VERSION


def spectra_options(spectrum=False):
    """Options of the verbs that stream checkpoints."""
    stage = [f"--stage={study.spectra.stage}"] if study.spectra.stage else []
    return [*stage, *(["--spectrum"] if spectrum else [])]


def checkpoint_folders(steps):
    """What a job finds the models of these steps in."""
    return lambda w: [paths.checkpoint(w.run, step) for step in steps]


FACTORS = (
    "alpharl factors --base {params.base:q} --checkpoint {params.models:q} --rank {params.rank}"
    " --percent-components {params.percent_components}"
    " --percent-parameters {params.percent_parameters}"
    " --scope {params.scope} --shard {wildcards.shard} --shards {params.shards} {params.options:q}"
    " --manifests {input.base:q} {input.checkpoints:q}"
    " --gpus {resources.gpus} --out {output.factors:q} > {log:q} 2>&1"
)


if study.spectra.checkpoints_per_job == 1:

    rule factors:
        input:
            # Not through the checkpoint's manifest alone: made again for another base, that is the same.
            base=base_manifest,
            checkpoints=paths.checkpoint_manifest("{run}", "{step}"),
        output:
            factors=paths.factors("{run}", "{step}", "{shard}"),
        log:
            paths.log("factors/{run}/step-{step}-{shard}"),
        benchmark:
            paths.benchmark("factors/{run}/step-{step}-{shard}")
        threads: threads_of()
        resources:
            **asks(lambda w: needs.factors(w.run, 1)),
        params:
            base=base_model,
            models=lambda w: paths.checkpoint(w.run, int(w.step)),
            rank=plan.depth.rank,
            percent_components=plan.depth.percent_components,
            percent_parameters=plan.depth.percent_parameters,
            scope=study.spectra.scope,
            shards=study.spectra.shards,
            options=spectra_options(spectrum=study.spectra.spectrum),
            version=FACTORS_VERSION,
        message:
            "Factoring {wildcards.run} step {wildcards.step}, shard {wildcards.shard}"
        shell:
            FACTORS

else:

    for _index, (_steps, _runs) in enumerate(
        alike((tuple(s), run) for run in study.runs for s in plan.factor_jobs(run)), 1
    ):

        rule:
            name:
                numbered("factors", _index)
            input:
                base=base_manifest,
                checkpoints=[paths.checkpoint_manifest("{run}", s) for s in _steps],
            output:
                factors=[paths.factors("{run}", s, "{shard}") for s in _steps],
            log:
                paths.log(f"factors/{{run}}/steps-{_steps[0]}-{_steps[-1]}-{{shard}}"),
            benchmark:
                paths.benchmark(
                    f"factors/{{run}}/steps-{_steps[0]}-{_steps[-1]}-{{shard}}"
                )
            wildcard_constraints:
                run=one_of(_runs, among=study.runs),
            threads: threads_of()
            resources:
                **asks(lambda w, count=len(_steps): needs.factors(w.run, count)),
            params:
                base=base_model,
                models=checkpoint_folders(_steps),
                rank=plan.depth.rank,
                percent_components=plan.depth.percent_components,
                percent_parameters=plan.depth.percent_parameters,
                scope=study.spectra.scope,
                shards=study.spectra.shards,
                options=spectra_options(spectrum=study.spectra.spectrum),
                version=FACTORS_VERSION,
            message:
                f"Factoring {{wildcards.run}} steps {_steps[0]} to {_steps[-1]}, shard {{wildcards.shard}}"
            shell:
                FACTORS


rule gram:
    input:
        base=base_manifest,
        checkpoints=checkpoints_of,
    output:
        gram=paths.gram("{run}", "{shard}"),
    log:
        paths.log("gram/{run}/{shard}"),
    benchmark:
        paths.benchmark("gram/{run}/{shard}")
    threads: threads_of()
    resources:
        **asks(lambda w: needs.gram(w.run)),
    params:
        base=base_model,
        checkpoints=lambda w: paths.checkpoint_options(w.run),
        steps=lambda w: plan.steps(w.run),
        shards=study.spectra.shards,
        options=spectra_options(),
        version=GRAM_VERSION,
    message:
        "Gram of {wildcards.run}, shard {wildcards.shard}"
    shell:
        "alpharl gram --base {params.base:q} --checkpoints {params.checkpoints:q} --steps {params.steps}"
        " --shard {wildcards.shard} --shards {params.shards} {params.options:q} --gpus {resources.gpus}"
        " --manifests {input.base:q} {input.checkpoints:q} --out {output.gram:q} > {log:q} 2>&1"


def withdrawn(wildcards):
    """Kinds of faults that the audit accepted, and that the study accepts no longer."""
    try:
        audit = json.loads(Path(paths.audit(wildcards.run)).read_text())
        accepted = {fault["kind"] for fault in audit["accepted"]}
    except (OSError, ValueError, KeyError, TypeError):
        accepted = set()  # not made yet, or damaged: whoever reads it says so
    return sorted(accepted - {*plan.accepted(wildcards.run)})


rule audit:
    input:
        base=base_manifest,
        checkpoints=checkpoints_of,
        gram=lambda w: gram_files(w.run),
    output:
        audit=paths.audit("{run}"),
    log:
        paths.log("audit/{run}"),
    benchmark:
        paths.benchmark("audit/{run}")
    localrule: True
    resources:
        # No param, which would make all that follows again: what is accepted changes no number. When
        # a study accepts less, `withdrawn` changes. `ancient` is no way out: Snakemake then overlooks
        # other changes of what follows.
        accept=lambda w: " ".join(f"--accept={kind}" for kind in plan.accepted(w.run)),
    params:
        base=base_model,
        checkpoints=lambda w: paths.checkpoint_options(w.run),
        steps=lambda w: plan.steps(w.run),
        gram=lambda w: paths.gram(w.run, "{shard}"),
        shards=study.spectra.shards,
        withdrawn=withdrawn,
        version=AUDIT_VERSION,
    message:
        "Auditing the checkpoints of {wildcards.run}"
    shell:
        # A job that stops for a fault has written what it found; its log ends as those of others do.
        "alpharl audit --base {params.base:q} --checkpoints {params.checkpoints:q} --steps {params.steps}"
        " --gram {params.gram:q} --shards {params.shards} {resources.accept}"
        " --manifests {input.base:q} {input.checkpoints:q} --out {output.audit:q} > {log:q} 2>&1 ||"
        " {{ test ! -e {output.audit:q} || echo 'alpharl audit: error: found these faults, expected"
        " checkpoints that are what their names say; get the right files, name steps in leave_out of the run,"
        " or kinds of faults in audit.accept' >> {log:q}; exit 1; }}"


rule dynamics:
    input:
        base=base_manifest,
        audit=audited,
        factors=lambda w: factor_files(w.run, plan.steps(w.run)),
        gram=lambda w: gram_files(w.run),
        scores=lambda w: paths.accuracy(w.run, study.validation_suite),
    output:
        table=paths.dynamics("{run}"),
        csv=paths.dynamics("{run}").replace(".parquet", ".csv"),
        pca=paths.pca("{run}"),
    log:
        paths.log("dynamics/{run}"),
    benchmark:
        paths.benchmark("dynamics/{run}")
    resources:
        **asks(lambda w: needs.dynamics(w.run)),
    params:
        base=base_model,
        checkpoints=lambda w: paths.checkpoint_options(w.run),
        steps=lambda w: plan.steps(w.run),
        factors=lambda w: paths.factors(w.run, "{step}", "{shard}"),
        gram=lambda w: paths.gram(w.run, "{shard}"),
        shards=study.spectra.shards,
        permutations=study.dynamics.permutations,
        holdout=study.dynamics.holdout,
        seed=study.dynamics.seed,
        version=DYNAMICS_VERSION,
    message:
        "Fitting the trajectories of {wildcards.run}"
    shell:
        "alpharl dynamics --base {params.base:q} --checkpoints {params.checkpoints:q} --steps {params.steps}"
        " --factors {params.factors:q} --gram {params.gram:q} --shards {params.shards}"
        " --scores {input.scores:q} --permutations {params.permutations} --holdout {params.holdout}"
        " --seed {params.seed} --out {output.table:q} --pca {output.pca:q} > {log:q} 2>&1"
