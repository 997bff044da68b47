"""Make many rank-k models of a run from factor files made before, a folder each."""

from __future__ import annotations

import argparse
from itertools import groupby
from pathlib import Path

from alpharl.verbs import shared
from alpharl.verbs.inputs import spec_value
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputFolders, Values
from alpharl.verbs.result import Written

EXAMPLE = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    shared.base(parser)
    shared.checkpoints(parser)
    parser.add_argument(
        "--factors", required=True, metavar="PATTERN",
        help="files of `alpharl factors`, such as 'factors/step-{step}.safetensors'",
    )  # fmt: skip
    shared.shards(parser)
    parser.add_argument(
        "--spec", required=True, metavar="JSON", help="list of RankVariant as JSON: what to make"
    )
    shared.seed(parser, "the directions of random controls")
    parser.add_argument(
        "--out", type=Path, action=OutputFolders, writes=_folders, required=True,
        metavar="FOLDER", help="folder of the models' folders",
    )  # fmt: skip
    prints(parser, Written)


def _folders(values: Values) -> list[Path]:
    from alpharl.variants.recipes import RANK_VARIANTS

    return [values["out"] / variant.name for variant in spec_value(RANK_VARIANTS, values["spec"])]


def run(
    base: Path,
    checkpoints: list[str],
    steps: list[int] | None,
    factors: str,
    shards: int,
    spec: str,
    seed: int,
    out: Path,
) -> Written:
    """Make the models step by step, since the factors of all steps may not fit into memory."""
    from alpharl.checkpoints.differences import tell
    from alpharl.checkpoints.sources import run_folders
    from alpharl.progress import shown
    from alpharl.trajectory import Trajectory
    from alpharl.variants.recipes import RANK_VARIANTS

    folders, written = run_folders(checkpoints, steps), list[str]()
    specified = spec_value(RANK_VARIANTS, spec)
    variants = sorted(specified, key=lambda variant: variant.step)
    with shown() as progress:
        tell(progress, base, folders)
        for step, group in groupby(variants, key=lambda variant: variant.step):
            trajectory = Trajectory.open(
                base, {step: folders[step]}, factors=factors, shards=shards, progress=progress
            )
            for variant in group:
                how = variant.recipe
                model = trajectory.rank_model(
                    how.depth, step, kind=how.kind, scale=how.scale, rest=how.rest,
                    merged=how.merged, seed=seed,
                )  # fmt: skip
                model.save(out / variant.name)
                written.append(str(out / variant.name))
                progress.step("models", len(written), len(variants), variant.name)
    return Written(written=written)
