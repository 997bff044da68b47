"""Write the questions of a public data set, or of a local file, as JSON lines.

Public data sets come from the Hub and need a network. Suites and training read what this writes,
and need none. OUT.json, next to the questions, says where they come from.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from alpharl.verbs.inputs import validated
from alpharl.verbs.outputs import WrittenQuestions
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputFile, Values

EXAMPLE = "alpharl fetch --task gsm8k --data gsm8k.jsonl --out data/gsm8k-test.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "--task", required=True, metavar="NAME",
        help="data set, as `alpharl tasks` lists it; with --data, any name",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=["validation", "test"], default="test",
        help="part of the data set to write (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--data", metavar="FILE",
        help="local .json, .jsonl or .parquet file to read instead of the Hub",
    )  # fmt: skip
    parser.add_argument(
        "--sha256", metavar="HASH",
        help="refuse other data than this: the hash of the local file, or of the lines that are "
        "written of a public data set",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        type=Path,
        action=OutputFile,
        writes=_files,
        required=True,
        metavar="FILE",
        help="file of JSON lines to write",
    )
    prints(parser, WrittenQuestions)


def _files(values: Values) -> list[Path]:
    from alpharl.evaluation.fetching import about

    return [values["out"], about(values["out"])]


def run(task: str, split: str, data: str | None, sha256: str | None, out: Path) -> WrittenQuestions:
    """Write the questions, unless the same are there already."""
    from alpharl.evaluation.datasets import DATASETS
    from alpharl.evaluation.fetching import about, fetch
    from alpharl.evaluation.settings import Task

    values = {"task": task, "split": split, "data": data, "sha256": sha256}
    fetch(validated(Task, values), DATASETS, out)
    description = about(out)
    questions = json.loads(description.read_text())["rows"]
    return WrittenQuestions(written=[str(out), str(description)], questions=questions)
