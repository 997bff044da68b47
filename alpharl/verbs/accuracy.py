"""Collect the results of checkpoints into a scores file: accuracy by step.

`alpharl trust`, `forecast` and `dynamics` take it with `--scores`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from alpharl.errors import EvaluationError
from alpharl.verbs.inputs import paths_at
from alpharl.verbs.outputs import require_files
from alpharl.verbs.parser import prints
from alpharl.verbs.result import Written

EXAMPLE = "alpharl accuracy --scores 'scores/step-{step}.json' --out validation.csv"
BASE = "base"
"""A name that the base's result may have instead of `step-0`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "--scores", nargs="+", required=True, metavar="FILE",
        help="results of checkpoints that `alpharl evaluate` wrote, or a pattern with {step}, such "
        "as 'scores/step-{step}.json'",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE",
        help="CSV to write, with the columns step,accuracy,stderr,n",
    )  # fmt: skip
    prints(parser, Written)


def run(scores: list[str], out: Path) -> Written:
    """Write the table."""
    from alpharl.checkpoints.files import write_text

    require_files(out)
    results = [_read(path) for path in paths_at(scores, files=True)]
    lines = ["step,accuracy,stderr,n"]
    for result in sorted(results, key=_step):
        values = (f"{result[key]:.6g}" for key in ("accuracy", "stderr"))
        lines.append(",".join([str(_step(result)), *values, str(result["n"])]))
    write_text(out, "\n".join(lines) + "\n")
    return Written(written=[str(out)])


def _read(path: Path) -> dict[str, Any]:
    """A result.

    Raises:
        EvaluationError: there is none.
    """
    try:
        result: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise EvaluationError(
            f"{path}: found no result ({error}), expected one that `alpharl evaluate` wrote"
        ) from None
    return result


def _step(result: dict[str, Any]) -> int:
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
