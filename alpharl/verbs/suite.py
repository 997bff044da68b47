"""Fix the questions of a suite, which is what `alpharl evaluate` asks.

Writes the tasks, their decoding settings and a digest of each question as JSON, and generated
questions next to it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from alpharl.verbs.inputs import file_name, json_value, validated
from alpharl.verbs.outputs import WrittenQuestions
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputFile, Values

if TYPE_CHECKING:
    from alpharl.evaluation.settings import Suite

EXAMPLE = (
    'alpharl suite --name validation --spec \'{"role": "validation", "tasks": [{"task": '
    '"addition", "split": "validation", "limit": 20}], "max_new_tokens": 9}\' '
    "--out validation/suite.json"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "--name", type=file_name, required=True, metavar="NAME", help="name of the suite"
    )
    parser.add_argument(
        "--spec", required=True, metavar="JSON",
        help="role, tasks and settings of the suite: what a study file has under `suites`, as JSON",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER",
        help="folder of questions that `alpharl fetch` wrote, for tasks that read a data set",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, action=OutputFile, writes=_files, required=True, metavar="FILE",
        help="file to write, usually suite.json in a folder of its own",
    )  # fmt: skip
    prints(parser, WrittenQuestions)


def _files(values: Values) -> list[Path]:
    """The suite, and the questions that are made next to it."""
    from alpharl.evaluation.suites import made_questions

    suite = _suite(values["spec"])
    return [values["out"], *made_questions(suite, values["out"].parent)]


def _suite(spec: str) -> Suite:
    from alpharl.evaluation.settings import Suite

    return validated(Suite, json_value(spec, "--spec"))


def run(name: str, spec: str, data: Path | None, out: Path) -> WrittenQuestions:
    """Write the suite."""
    from alpharl.evaluation.suites import read_suite, write_suite

    write_suite(name, _suite(spec), out, data)
    return WrittenQuestions(written=[str(out)], questions=len(read_suite(out).questions))
