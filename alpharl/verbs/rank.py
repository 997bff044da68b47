"""Make a rank-k model of a checkpoint's update, a variation of it, or a control.

A rank-k model keeps the top k singular triplets of each projection's update, scaled to the norm of
the whole update. It is written as a LoRA adapter on the base; `alpharl export` or `--dense` makes a
normal model folder of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.bounds import MOST_RANK, MOST_SCALE
from alpharl.checkpoints.sources import step_of
from alpharl.spectra.depth import Depth
from alpharl.variants.recipes import KINDS, RankKind
from alpharl.verbs import numbers, shared
from alpharl.verbs.numbers import number, whole
from alpharl.verbs.parser import prints
from alpharl.verbs.result import Written

EXAMPLE = (
    "alpharl rank --base models/base --checkpoint runs/foo/checkpoint-150 --rank 1 --out rank-1"
)
KIND = (
    "rank: the top k triplets, scaled per matrix to the whole update's norm; unscaled: the top k "
    "as they are; component: the k-th triplet alone, scaled; without: the update less its top k, "
    "scaled; full-update: the whole update of the projections; rest-only: all other tensors of "
    "the checkpoint; random, random-unscaled: random directions of rank k, at the whole update's "
    "norm or that of its top k (default: %(default)s)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    shared.base(parser)
    parser.add_argument(
        "--checkpoint", type=Path, required=True, metavar="FOLDER",
        help="model folder of the checkpoint whose update is taken",
    )  # fmt: skip
    parser.add_argument(
        "--step", type=numbers.step, metavar="STEP",
        help="step of the checkpoint (default: the number that its folder's name ends in)",
    )  # fmt: skip
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument(
        "--rank", type=whole(1, MOST_RANK), metavar="K",
        help="k, the number of triplets per matrix; with --kind component, which one (default: 1)",
    )  # fmt: skip
    shared.percents(depth, number(above=0, most=100))
    parser.add_argument("--kind", choices=KINDS, default="rank", help=KIND)
    parser.add_argument(
        "--unscaled", dest="kind", action="store_const", const="unscaled",
        help="the same as --kind unscaled",
    )  # fmt: skip
    parser.add_argument(
        "--scale", type=number(above=0, most=MOST_SCALE), default=1.0, metavar="LAMBDA",
        help="multiply the update of the projections by this (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--rest", action="store_true",
        help="take embeddings, head, norms and biases from the checkpoint too",
    )  # fmt: skip
    parser.add_argument(
        "--merged", action="store_true",
        help="have the model scored merged, in the base's precision, instead of as an adapter",
    )  # fmt: skip
    shared.seed(parser, "the directions of the random kinds")
    parser.add_argument(
        "--factors", type=Path, nargs="+", metavar="FILE",
        help="files of `alpharl factors` of this checkpoint, all shards; its weights are not read "
        "then",
    )  # fmt: skip
    shared.variant_out(parser)
    prints(parser, Written)


def run(
    base: Path,
    checkpoint: Path,
    step: int | None,
    rank: int | None,
    percent_components: float,
    percent_parameters: float,
    kind: RankKind,
    scale: float,
    rest: bool,
    merged: bool,
    seed: int,
    factors: list[Path] | None,
    out: Path,
    dense: bool,
) -> Written:
    """Make a model of one checkpoint's update."""
    from alpharl.checkpoints.differences import tell
    from alpharl.progress import shown
    from alpharl.spectra.lowrank import read_factors
    from alpharl.trajectory import Trajectory
    from alpharl.variants.model import require_free

    require_free(out, dense)
    step = step_of(checkpoint) if step is None else step
    # Nothing in scope is kept of `rest-only`: its factors are not needed.
    made = {step: read_factors(factors)} if factors and kind != "rest-only" else None
    tell(shown(), base, {step: checkpoint})
    trajectory = Trajectory.open(base, {step: checkpoint}, factors=made)
    percents = (percent_components, percent_parameters)
    if rank is None:
        rank = 0 if any(percents) else 1
    model = trajectory.rank_model(
        Depth(rank, *percents), step, kind=kind, scale=scale, rest=rest, merged=merged, seed=seed
    )
    model.save(out, dense)
    return Written(written=[str(out)])
