"""Collect results of checkpoints into a table of accuracy by step."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from alpharl.errors import EvaluationError
from alpharl.verbs.inputs import paths_at

EXAMPLE = ""


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


def run(scores: list[str], out: Path) -> None:
    """Write the table."""
    from alpharl.checkpoints.files import write_text
    from alpharl.names import checkpoint_name, checkpoint_step

    results = [json.loads(path.read_text()) for path in paths_at(scores, files=True)]
    by_step = {checkpoint_step(result["variant"]): result for result in results}
    if None in by_step:
        raise EvaluationError(
            f"found a result of {by_step[None]['variant']}, expected results of checkpoints, such "
            f"as {checkpoint_name(10)}.json; leave it out"
        )
    lines = ["step,accuracy,stderr,n"]
    for step, result in sorted(by_step.items()):
        lines.append(f"{step},{result['accuracy']:.6g},{result['stderr']:.6g},{result['n']}")
    write_text(out, "\n".join(lines) + "\n")
