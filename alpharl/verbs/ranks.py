"""Make many rank-k models of a run from factor files made before, a folder each."""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.verbs import shared
from alpharl.verbs.parser import prints
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
    parser.add_argument("--shards", type=int, default=1, metavar="N", help=shared.SHARDS)
    parser.add_argument(
        "--spec", required=True, metavar="JSON", help="list of RankVariant as JSON: what to make"
    )
    shared.seed(parser, "the directions of random controls")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder of the models' folders"
    )
    prints(parser, Written)


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
    from alpharl.trajectory import Trajectory
    from alpharl.variants.recipes import RANK_VARIANTS

    variants = RANK_VARIANTS.validate_json(spec)
    for step in sorted({variant.step for variant in variants}):
        run = Trajectory.open(base, checkpoints, steps=[step], factors=factors, shards=shards)
        for variant in (variant for variant in variants if variant.step == step):
            how = variant.recipe
            run.rank_model(
                how.depth, step, kind=how.kind, scale=how.scale, rest=how.rest, merged=how.merged,
                seed=seed,
            ).save(out / variant.name)  # fmt: skip
    return Written(written=[str(out / variant.name) for variant in variants])
