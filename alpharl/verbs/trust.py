"""Say whether a forecast of a run is supported, by which method, how far, and why.

The answer comes from the window alone. First its checkpoints are looked at as `alpharl audit` does:
a verdict on ones that are not what their names say would not count. Then forecasts are rehearsed
inside the window and set next to random walks, and the room that accuracy has left is looked at.
With a validation suite a few trial models are scored too, which decide.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pydantic import PrivateAttr

from alpharl.verbs import shared
from alpharl.verbs.judgement import Judgement, judged
from alpharl.verbs.opened import opened
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputFile

EXAMPLE = (
    "alpharl trust --base models/base --checkpoints 'runs/foo/checkpoint-{step}' "
    "--scores scores.csv --target-multiple 2"
)
NOT_SUPPORTED = 3
"""Exit status of a verdict of no, with `--exit-code`: 1 and 2 are errors."""


class Trust(Judgement):
    """The verdict."""

    _status: int = PrivateAttr(0)

    @property
    def exit_status(self) -> int:
        """0, or with `--exit-code` 3 where nothing is supported."""
        return self._status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    shared.base(parser)
    shared.checkpoints(parser)
    shared.window(parser, required=False)
    shared.scores(parser)
    shared.files(parser)
    shared.accept(parser)
    shared.trials(parser)
    parser.add_argument(
        "--out",
        type=Path,
        action=OutputFile,
        metavar="FILE",
        help="write the verdict there too, as JSON",
    )
    parser.add_argument(
        "--exit-code", action="store_true",
        help=f"end with status {NOT_SUPPORTED} if no forecast is supported, for scripts",
    )  # fmt: skip
    prints(parser, Trust)


def run(
    base: Path,
    checkpoints: list[str],
    steps: list[int] | None,
    through: int | None,
    target_step: int | None,
    target_multiple: float | None,
    target_accuracy: float | None,
    scores: Path | None,
    factors: str | None,
    gram: str | None,
    shards: int,
    accept: list[str],
    suite: Path | None,
    trials: Path | None,
    manifests: list[Path],
    gpus: int,
    out: Path | None,
    exit_code: bool,
    **engine: str | None,
) -> Trust:
    """Judge a window of a run."""
    from alpharl.checkpoints.files import write_record
    from alpharl.gpu import cards

    with (
        cards(gpus),
        opened(
            base, checkpoints, steps, scores=scores, factors=factors, gram=gram, shards=shards,
            suite=suite, trials=trials, manifests=manifests, engine=engine, gpus=gpus,
        ) as trajectory,
    ):  # fmt: skip
        verdict = trajectory.verdict(
            target_step, through, target_multiple=target_multiple,
            target_accuracy=target_accuracy, accept=accept,
        )  # fmt: skip
    result = Trust(**judged(verdict))
    if out:
        write_record(out, result.model_dump(mode="json"))
    result._status = NOT_SUPPORTED if exit_code and not verdict.supported else 0
    return result
