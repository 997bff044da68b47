# Helpers that several topics share: wildcards, inputs that depend on a run's plan, resources.
import json


def one_of(names):
    """Wildcard constraint for a fixed set of names; matches nothing if there is none."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    run=one_of(study.runs),
    base=one_of(study.bases),
    suite=one_of(study.suites),
    step=r"\d+",
    shard=r"\d+",


def literal(value):
    """A param as it is: Snakemake expands braces in strings, but not in what a function returns."""
    return lambda wildcards: value


def base_of(run):
    return study.runs[run].base


def base_model(wildcards):
    return paths.base_model(base_of(wildcards.run))


def base_manifest(wildcards):
    return paths.base_manifest(base_of(wildcards.run))


def manifests(wildcards):
    return [
        paths.checkpoint_manifest(wildcards.run, step)
        for step in plan.steps(wildcards.run)
    ]


def factor_files(run, steps):
    return [paths.factors(run, step, shard) for step in steps for shard in plan.shards]


def gram_files(run):
    return [paths.gram(run, shard) for shard in plan.shards]


def asks(need):
    """What a rule asks the scheduler for, by what `need` says of a job's wildcards: memory and time
    grow with each attempt that a profile's `retries` allows."""
    return {
        "mem_mb": lambda wildcards, attempt: attempt * need(wildcards).mem_mb,
        "runtime": lambda wildcards, attempt: attempt * need(wildcards).minutes,
        "disk_mb": lambda wildcards: need(wildcards).disk_mb,
        "gpu": lambda wildcards: need(wildcards).gpus,
    }


def engine_options():
    """The engine's settings as the command line takes them."""
    settings = study.evaluation
    given = {
        "engine": settings.engine,
        "dtype": settings.dtype,
        "batch-size": settings.batch_size,
        "environment": settings.environment,
        "vllm": json.dumps(settings.vllm) if settings.vllm else None,
        "url": settings.url,
        "key-variable": settings.key_variable if settings.url else None,
    }
    return [f"--{name}={value}" for name, value in given.items() if value is not None]
