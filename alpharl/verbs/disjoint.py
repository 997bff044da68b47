"""Refuse questions that a validation and a test suite share."""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.verbs.places import OutputFile

EXAMPLE = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "--suites", type=Path, nargs="+", required=True, metavar="FILE",
        help="all suites of a study, as `alpharl suite` wrote them",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, action=OutputFile, required=True, metavar="FILE",
        help="JSON file to write: number of questions in each suite",
    )  # fmt: skip


def run(suites: list[Path], out: Path) -> None:
    """Write how many questions each suite has."""
    from alpharl.checkpoints.files import write_record
    from alpharl.evaluation.suites import read_suite, require_disjoint

    write_record(out, require_disjoint([read_suite(path) for path in suites]))
