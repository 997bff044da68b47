"""Collect the results of checkpoints into a scores file: accuracy by step.

`alpharl trust`, `forecast` and `dynamics` take it with `--scores`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from alpharl.errors import EvaluationError
from alpharl.sums import write_summed
from alpharl.verbs.inputs import paths_at
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputFile
from alpharl.verbs.result import Written

EXAMPLE = "alpharl accuracy --scores 'scores/step-{step}.json' --out validation.csv"
BASE = "base"
"""A name that the base's result may have instead of `step-0`."""


class _Result(TypedDict):
    """The part of a result that the table needs."""

    variant: str
    suite: str
    suite_digest: str
    accuracy: Annotated[float, Field(ge=0, le=1)]
    stderr: Annotated[float, Field(ge=0)]
    n: Annotated[int, Field(ge=1)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "--scores", nargs="+", required=True, metavar="FILE",
        help="results of checkpoints that `alpharl evaluate` wrote, or a pattern with {step}, such "
        "as 'scores/step-{step}.json'",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, action=OutputFile, required=True, metavar="FILE",
        help="CSV to write, with the columns step,accuracy,stderr,n",
    )  # fmt: skip
    prints(parser, Written)


def run(scores: list[str], out: Path) -> Written:
    """Write the table."""
    from alpharl.checkpoints.files import read_record

    paths = paths_at(scores, files=True)
    results = {path: read_record(path, _Result, "alpharl evaluate") for path in paths}
    by_step = _by_step(results)
    lines = ["step,accuracy,stderr,n"]
    for step, result in sorted(by_step.items()):
        values = f"{result['accuracy']:.6g},{result['stderr']:.6g},{result['n']}"
        lines.append(f"{step},{values}")
    write_summed({out: lambda partial: partial.write_text("\n".join(lines) + "\n")})
    return Written(written=[str(out)])


def _by_step(results: Mapping[Path, _Result]) -> dict[int, _Result]:
    """The results by step.

    Raises:
        EvaluationError: two are of one step, or of different suites.
    """
    (first, example), *_ = results.items()
    by_step: dict[int, _Result] = {}
    for path, result in results.items():
        if result["suite_digest"] != example["suite_digest"]:
            raise EvaluationError(
                f"{path}: found a result of suite '{result['suite']}', expected the questions that "
                f"{first} is of, suite '{example['suite']}'; collect one suite at a time"
            )
        step = _step(result)
        if step in by_step:
            raise EvaluationError(
                f"{path}: found a second result of step {step}, expected one of each; leave one out"
            )
        by_step[step] = result
    return by_step


def _step(result: _Result) -> int:
    """The step of the checkpoint that a result is of.

    Raises:
        EvaluationError: it is of something else.
    """
    from alpharl.names import checkpoint_name, checkpoint_step

    variant = result["variant"]
    step = 0 if variant == BASE else checkpoint_step(variant)
    if step is None:
        raise EvaluationError(
            f"found a result of {variant}, expected results of checkpoints, such as "
            f"{checkpoint_name(10)}.json, or of the base, {BASE}.json; leave it out"
        )
    return step
