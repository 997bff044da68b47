"""Arguments of the verbs about updates: factors, grams and fits."""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.arguments.shared import STAGE, Adder, checkpoints, gpus, percents, shard, stores, verb
from alpharl.registry import Names


def spectra_verbs(add: Adder[argparse.ArgumentParser]) -> None:
    """factors, gram, dynamics, measure."""
    factors = verb(add, "factors", "Top-k singular triplets of a checkpoint's update.")
    factors.add_argument("--base", type=Path, required=True)
    factors.add_argument(
        "--checkpoint", type=Path, nargs="+", required=True, help="one, or several in their order"
    )
    factors.add_argument("--rank", type=int, default=8, help="triplets per matrix at least")
    percents(factors)
    factors.add_argument("--scope", choices=["paper", "all"], default="paper")
    factors.add_argument("--spectrum", action="store_true", help="store all singular values too")
    shard(factors)
    factors.add_argument("--out", type=Path, nargs="+", required=True, help="a file for each")
    gpus(factors)
    gram = verb(add, "gram", "Inner products between the updates of a run's checkpoints.")
    gram.add_argument("--base", type=Path, required=True)
    checkpoints(gram)
    shard(gram)
    gram.add_argument("--out", type=Path, required=True)
    gpus(gram)
    dynamics = verb(add, "dynamics", "Fits of each matrix's trajectory, next to null models.")
    dynamics.add_argument("--base", type=Path, required=True)
    checkpoints(dynamics)
    stores(dynamics)
    dynamics.add_argument("--scores", type=Path, required=True, help="CSV: step,accuracy")
    dynamics.add_argument("--permutations", type=int, default=200, help="draws of each null model")
    dynamics.add_argument("--holdout", type=float, default=0.6, help="share that is fitted")
    dynamics.add_argument("--seed", type=int, default=0)
    dynamics.add_argument("--out", type=Path, required=True, help="Parquet; with a CSV twin")
    dynamics.add_argument("--pca", type=Path, help="CSV: the path's principal components")
    dynamics.add_argument("--tsne", type=Path, help="CSV: a t-SNE of the path, with its caveat")
    measure = verb(add, "measure", "Numbers that describe a run's updates, next to their nulls.")
    measure.add_argument(
        "measure", nargs="*", choices=Names("alpharl.measures.registry:MEASURES"), metavar="NAME",
        help="default: all, which are %(choices)s",
    )  # fmt: skip
    measure.add_argument("--base", type=Path, required=True)
    checkpoints(measure)
    stores(measure)
    measure.add_argument("--stage", metavar="FOLDER", help=STAGE)
    measure.add_argument(
        "--option", action="append", default=[], metavar="NAME.KEY=VALUE",
        help="an option of a measure, such as sparsity.seed=1",
    )  # fmt: skip
    measure.add_argument(
        "--out", type=Path, required=True, help="folder of a Parquet table each, with a CSV twin"
    )
    gpus(measure)
