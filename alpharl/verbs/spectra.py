"""Factors, grams and what follows from them: factors, gram, dynamics."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from alpharl.checkpoints.stage import staged
from alpharl.errors import StudyError
from alpharl.spectra.depth import Depth
from alpharl.verbs.forecasts import log_verdict
from alpharl.verbs.inputs import (
    LINES,
    factors_of,
    gram_of,
    log,
    read_accuracy,
    run_folders,
    write_csv,
    write_table,
)

if TYPE_CHECKING:
    from alpharl.spectra.gram import Gram


def factors(args: Namespace) -> None:
    """Factor the updates of one or more checkpoints, or one shard of them."""
    from alpharl.spectra import FACTORS_VERSION
    from alpharl.spectra.factors import Settings, write_factors

    if len(args.checkpoint) != len(args.out):
        raise StudyError(
            f"found {len(args.checkpoint)} checkpoints and {len(args.out)} files for --out; "
            "expected one file each"
        )
    depth = Depth(args.rank, args.percent_components, args.percent_parameters)
    settings = Settings(depth, args.scope, (args.shard, args.shards), args.spectrum)
    # The order of the command line stands for the steps.
    paths, out = dict(enumerate(args.checkpoint)), dict(enumerate(args.out))
    how = {"version": FACTORS_VERSION, "base": str(args.base), "depth": asdict(depth),
           "scope": args.scope, "shard": settings.part}  # fmt: skip
    metadata = {i: how | {"checkpoint": str(path)} for i, path in paths.items()}
    with staged({-1: args.base, **paths}, args.stage) as checkpoints:
        write_factors(checkpoints.pop(-1), checkpoints, settings, out, metadata, LINES)


def gram(args: Namespace) -> None:
    """Make the gram of a run, or of one shard of it."""
    from alpharl.spectra import GRAM_VERSION
    from alpharl.spectra.gram import gram_run, write_gram

    part = (args.shard, args.shards)
    with staged({0: args.base, **run_folders(args)}, args.stage) as checkpoints:
        products = gram_run(checkpoints.pop(0), checkpoints, part, LINES)
    made_from = {"base": str(args.base), "checkpoints": " ".join(args.checkpoints)}
    write_gram(products, args.out, made_from | {"version": GRAM_VERSION, "shard": part})


def dynamics(args: Namespace) -> None:
    """Fit each matrix's trajectory; write Parquet and its CSV twin, and pictures of the path."""
    from alpharl.checkpoints.index import read_index
    from alpharl.dynamics.blocks import sample_blocks
    from alpharl.dynamics.fits import Settings
    from alpharl.dynamics.summary import by_module, summarize
    from alpharl.dynamics.table import dynamics_table
    from alpharl.forecasting.contract import Window

    folders, scores = run_folders(args), read_accuracy(args.scores)
    settings = Settings(args.permutations, args.holdout, args.seed)
    factors, products = factors_of(args, folders, Depth(1)), gram_of(args, folders)
    names = list(next(iter(factors.values()), {}))
    blocks = sample_blocks(args.base, names, args.seed)
    table = dynamics_table(factors, products, scores, blocks, settings, LINES)
    if args.pca or args.tsne:
        _paths(args, products.upto(list(folders)), names)
    write_table(table, args.out)
    print(summarize(table).to_string())
    print("\nBy module: mean value, and share of matrices with p < 0.05 under each null")
    print(by_module(table).to_string(float_format="{:.3f}".format))
    steps, tensors = list(folders), list(read_index(args.base).tensors)
    window = Window(steps, 2 * steps[-1], tensors, products.upto(steps), accuracy=scores)
    log(f"a forecast of step {2 * steps[-1]}, twice as far:")
    log_verdict(window)


def _paths(args: Namespace, gram: Gram, names: list[str]) -> None:
    """Write the PCA and, on request, the t-SNE of the run's path over all matrices in scope."""
    from alpharl.dynamics.pca import pca_table, total_gram

    if args.pca:
        write_csv(pca_table(gram, names, args.permutations, args.seed), args.pca)
    if args.tsne:
        from alpharl.dynamics.tsne import CAVEAT, perplexity, tsne_table

        write_csv(tsne_table(total_gram(gram, names), gram.steps, args.seed), args.tsne)
        print(CAVEAT.format(perplexity=perplexity(len(gram.steps) + 1), seed=args.seed))
