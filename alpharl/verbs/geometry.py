"""Where updates land: geometry."""

from __future__ import annotations

from argparse import Namespace

from alpharl.checkpoints.stage import staged
from alpharl.verbs.inputs import log, run_folders, write_table


def geometry(args: Namespace) -> None:
    """Measure the sparsity of a run's updates; write Parquet and its CSV twin."""
    from alpharl.geometry.sparsity import OVERALL, sparsity_table

    with staged({0: args.base, **run_folders(args)}, args.stage) as checkpoints:
        table = sparsity_table(checkpoints.pop(0), checkpoints, args.seed, log)
    write_table(table, args.out)
    whole = table[table["tensor"] == OVERALL].drop(columns="tensor")
    print("Shares of unchanged entries over all tensors, beside those of a Gaussian update")
    print(whole.to_string(index=False, float_format="{:.6g}".format))
