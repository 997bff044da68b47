"""The study as a whole: check, methods, report."""

from __future__ import annotations

import json
from argparse import Namespace

from alpharl.errors import StudyError


def check(args: Namespace) -> None:
    """Validate a study file and print what it would make."""
    from alpharl.study.check import describe
    from alpharl.study.config import load_study

    print(describe(load_study(args.study)))


def methods(args: Namespace) -> None:
    """List the forecasting methods."""
    from alpharl.study.methods import METHODS

    for name, method in METHODS.items():
        needs = ", ".join(sorted(method().reads)) or "checkpoints only"
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
