"""The study as a whole: init, check, status, methods, report."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from alpharl.errors import StudyError


def init(args: Namespace) -> None:
    """Write a study file for the checkpoints in a folder, and say what was found."""
    if args.slurm:
        return _init_slurm(args)
    if args.folder is None:
        raise StudyError("found no folder, expected that of a trainer's output, or --slurm")
    from alpharl.checkpoints.discover import find_runs
    from alpharl.checkpoints.files import write_text
    from alpharl.study.starter import study_text
    from alpharl.study.starter_runs import bases_of, has_chat_template, named, starters, tell

    name = named(args.folder.resolve().name)
    out = args.out or Path(f"{name}.yaml")
    if out.exists():
        raise StudyError(f"{out}: exists already; remove it, or name another file with --out")
    discovered = find_runs(args.folder)
    bases = bases_of(discovered, args.base)
    runs = starters(discovered, bases, name)
    print("\n".join(tell(run) for run in discovered))
    chat = any(has_chat_template(keys.get("path")) for keys in bases.values())
    write_text(out, study_text(name, bases, runs, chat))
    print(f"wrote {out}; next: put your suites in, then `alpharl check {out}`")


def _init_slurm(args: Namespace) -> None:
    """Write a Snakemake profile for the cluster that this machine belongs to."""
    from alpharl.slurm.choose import choose
    from alpharl.slurm.profile import describe, profile_files, write_profile
    from alpharl.slurm.site import look

    given = (args.account, args.partition, args.gpu_partition, args.gpu_model, args.gpu_syntax)
    site = choose(look(), *given)
    out = args.out or Path("slurm")
    write_profile(out, profile_files(site), force=args.force)
    print(describe(site))
    print(f"wrote {out}; look at its first block, then `snakemake --profile {out}`")


def check(args: Namespace) -> None:
    """Validate a study file and print what it would make."""
    from alpharl.cost.table import cost_text
    from alpharl.study.check import describe
    from alpharl.study.config import load_study
    from alpharl.study.earlier import refuse_earlier
    from alpharl.study.plan import Plan

    study = load_study(args.study)
    refuse_earlier(Plan(study))
    print(describe(study))
    if args.cost:
        print(f"\n{cost_text(Plan(study))}")


def status(args: Namespace) -> None:
    """Print how far a study is, its jobs on the cluster, and what failed."""
    from alpharl.slurm.jobs import left
    from alpharl.study.config import load_study
    from alpharl.study.earlier import refuse_earlier
    from alpharl.study.plan import Plan
    from alpharl.study.status import failures, is_running, progress

    plan = Plan(load_study(args.study))
    refuse_earlier(plan)
    print(f"{plan.paths.root}: {'a' if is_running(plan) else 'no'} snakemake works on it; made:")
    print("\n".join(progress(plan)))
    jobs, failed = left(plan.paths.root), failures(plan)
    if jobs:
        print("\n".join([f"jobs on the cluster: {len(jobs)}", *(f"  {job}" for job in jobs)]))
    if failed:
        print("\n".join(["logs that end with an error:", *failed]))


def methods(args: Namespace) -> None:
    """List the forecasting methods."""
    from alpharl.forecasting.registry import METHODS

    for name, method in METHODS.items():
        needs = ", ".join(sorted(method.model_validate({}).reads)) or "checkpoints only"
        options = [key for key in method.model_fields if key != "method"]
        print(f"{name}\n  {(method.__doc__ or '').splitlines()[0]}")
        print(f"  source: {method.source}\n  needs: {needs}; cost: {method.cost}")
        if options:
            print(f"  options: {', '.join(options)}")


def report(args: Namespace) -> None:
    """Write the report and name its path."""
    from alpharl.report import write_report
    from alpharl.study.config import load_study, parse_study

    if (args.study is None) == (args.spec is None):
        raise StudyError("expected a study file or --spec, exactly one of them")
    study = parse_study(json.loads(args.spec)) if args.spec else load_study(args.study)
    print(write_report(study))
