"""Write a study's report from its finished results.

The report is one HTML file, next to its tables and figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from alpharl.errors import StudyError
from alpharl.verbs import shared
from alpharl.verbs.inputs import json_value
from alpharl.verbs.parser import prints
from alpharl.verbs.result import Result

EXAMPLE = "alpharl report my-study.yaml"


class Report(Result):
    """The report of a study."""

    report: str
    """Path of its page."""

    def blocks(self) -> Iterator[str]:
        """The path."""
        yield self.report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    shared.study(parser, required=False)
    parser.add_argument(
        "--spec", metavar="JSON", help="the study itself as JSON, instead of a study file"
    )
    prints(parser, Report)


def run(study: Path | None, spec: str | None) -> Report:
    """Write the report."""
    from alpharl.report import write_report
    from alpharl.study.config import load_study, parse_study

    if study is not None and spec is None:
        return Report(report=str(write_report(load_study(study))))
    if study is None and spec is not None:
        return Report(report=str(write_report(parse_study(json_value(spec, "--spec")))))
    raise StudyError("expected a study file or --spec, exactly one of them")
