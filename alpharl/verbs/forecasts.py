"""Make all quick forecasts of a study's run in one go, from files made before."""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.verbs import shared
from alpharl.verbs.forecast import judge_of, written
from alpharl.verbs.inputs import spec_value
from alpharl.verbs.opened import opened
from alpharl.verbs.places import OutputFolders, Values

EXAMPLE = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    shared.base(parser)
    shared.checkpoints(parser)
    parser.add_argument(
        "--spec", required=True, metavar="JSON", help="the forecasts, a list of ForecastVariant"
    )
    shared.scores(parser)
    shared.files(parser)
    parser.add_argument(
        "--out", type=Path, action=OutputFolders, writes=_folders, required=True,
        metavar="FOLDER", help="folder of the forecasts' folders",
    )  # fmt: skip


def _folders(values: Values) -> list[Path]:
    from alpharl.study.forecasts import FORECAST_VARIANTS

    return [
        values["out"] / variant.name for variant in spec_value(FORECAST_VARIANTS, values["spec"])
    ]


def run(
    base: Path,
    checkpoints: list[str],
    steps: list[int] | None,
    spec: str,
    scores: Path | None,
    factors: str | None,
    gram: str | None,
    shards: int,
    out: Path,
) -> None:
    """Write one folder each; an undefined forecast is recorded as such."""
    from alpharl.study.forecasts import FORECAST_VARIANTS

    with opened(
        base, checkpoints, steps, scores=scores, factors=factors, gram=gram, shards=shards
    ) as trajectory:
        judge, verdicts = judge_of(trajectory), dict[str, None]()
        for variant in spec_value(FORECAST_VARIANTS, spec):
            model = trajectory.forecast(
                variant.options, variant.target_step, variant.through,
                target_accuracy=variant.target_accuracy, amplitude=variant.amplitude,
                record_undefined=True,
            )  # fmt: skip
            folder = out / variant.name
            model.save(folder)
            made = written(model, folder, judge)
            print("\n".join(made.lines()), flush=True)
            verdicts["\n".join(made.verdict_lines())] = None
        # Forecasts of one window share it, so it stands once.
        print("\n".join(verdicts))
