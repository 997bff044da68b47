# Helpers that several topics share: wildcards, inputs that depend on a run's plan, resources.
#
# Every job of a cluster reads these files again, so what they cost must not grow with the plan: lists
# that name all runs stand in functions, which are called for the jobs that need them.
import ast
import inspect

from alpharl.verbs.engine_options import arguments_of
from snakemake.common import overwrite_function_params

# Of all names a constraint is short: a list of hundreds would be searched for each file.
ANY = "[^/]+"


def one_of(names, among=None):
    """Wildcard constraint for a set of names, `among` these; matches nothing if there is none."""
    names = dict.fromkeys(names)
    if among is not None and len(names) == len(among):
        return ANY
    return "|".join(map(re.escape, names)) or "(?!)"


def alike(pairs):
    """Runs by kind, from pairs of a kind and a run.

    A rule has as many outputs for one run as for another. Where their number differs between runs,
    as that of checkpoints does, there is a rule for each kind of run instead of one for all.
    """
    by_kind = {}
    for kind, run in pairs:
        by_kind.setdefault(kind, []).append(run)
    return by_kind.items()


def numbered(name, index):
    """Name of the rules of several kinds: `train`, `train_2`, `train_3`."""
    return f"{name}_{index}" if index > 1 else name


wildcard_constraints:
    run=ANY,
    base=ANY,
    suite=ANY,
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


def checkpoints_of(wildcards):
    """The table that stands for all checkpoints of a run: one file for Snakemake to follow."""
    return paths.checkpoints(wildcards.run)


def factor_files(run, steps):
    return [paths.factors(run, step, shard) for step in steps for shard in plan.shards]


def gram_files(run):
    return [paths.gram(run, shard) for shard in plan.shards]


def audited(wildcards):
    """What is concluded from a run waits for its audit."""
    return paths.audit(wildcards.run)


def profile_default(resource):
    """What the profile asks for all jobs, or None."""
    defaults = workflow.resource_settings.default_resources
    return (
        ast.literal_eval(defaults[resource].raw)
        if defaults and resource in defaults
        else None
    )


GPU_MODEL, GPU_SYNTAX = map(profile_default, ("gpu_model", "gpu_syntax"))


def gres(count):
    """GPUs as `--gres` takes them; None for none."""
    words = ["gpu", GPU_MODEL, str(count)] if GPU_MODEL else ["gpu", str(count)]
    return ":".join(words) if count else None


def asks(need):
    """What a rule asks the scheduler for, by what `need` says of a job's wildcards: memory and time
    grow with each attempt that a profile's `retries` allows."""
    # A number where it can be: each function that is asked for each job takes its time.
    gpus = (lambda wildcards: need(wildcards).gpus) if study.gpus else 0
    resources = {
        "mem_mb": lambda wildcards, attempt: attempt * need(wildcards).mem_mb,
        "runtime": lambda wildcards, attempt: attempt * need(wildcards).minutes,
        "disk_mb": lambda wildcards: need(wildcards).disk_mb,
        "gpus": gpus,
    }
    if GPU_SYNTAX == "gres":
        return resources | {
            "gres": lambda wildcards: gres(need(wildcards).gpus),
            "gpu_model": lambda wildcards: None,
        }
    resources["gpu"] = gpus
    if GPU_MODEL:
        # The executor would ask for one of that model for each job, also for those that take none.
        resources["gpu_model"] = lambda wildcards: (
            GPU_MODEL if need(wildcards).gpus else None
        )
    return resources


def threads_of():
    """Threads of jobs that compute with a run's models: a number where all runs have the same."""
    counts = {needs.threads(run) for run in study.runs}
    return counts.pop() if len(counts) == 1 else lambda w: needs.threads(w.run)


def engine_options():
    """The engine's settings as the command line takes them."""
    return arguments_of(study.evaluation)


def remember_signatures():
    """Keep the parameters of functions in rules, and of what evaluates resources. Snakemake looks them
    up anew for each job: a sixth of the time of a large plan.

    Where another version of it keeps functions elsewhere, they are not found, and nothing changes.
    """
    for rule in workflow.rules:
        resources = rule.resources.values()
        items = [getattr(file, "_file", file) for file in rule.input]
        items += [getattr(item, "_evaluator", item) for item in resources]
        items += [getattr(type(item), "evaluate", None) for item in resources]
        for item in (*items, *rule.params):
            function = getattr(item, "callable", item)
            if inspect.isfunction(function):
                overwrite_function_params(
                    function, inspect.signature(function).parameters
                )
