"""The bf16 floor of each run's last update: module means, and what they say in plain words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import groups
from alpharl.report.tables import Column, Table, table
from alpharl.report.words import number

NUMBERS = [
    "unmoved", "rounded_unmoved", "share", "rounded_share", "noise_share",
    "rounded_s1_ratio", "noise_norm_ratio", "noise_s1_ratio",
]  # fmt: skip
INTACT = 0.95
"""Top-1 share from which on a rounded rank-1 update still passes for one."""


def floor_frame(results: Results) -> pd.DataFrame:
    """Per run and module at the last step: number of matrices, and means over them."""
    grouped = results.tables["floor"].groupby(["run", "module"], sort=False)
    means = grouped[NUMBERS].mean()
    return grouped.agg(matrices=("tensor", "size")).join(means).reset_index()


def floor_tables(frame: pd.DataFrame) -> list[Table]:
    """One table per run, with a sentence below it."""
    columns = [
        Column("module", lambda r: r.module, kind="word"),
        Column("matrices", lambda r: str(r.matrices)),
        Column("unmoved", _show("unmoved")),
        Column("rank-1, rounded", _show("rounded_unmoved")),
        Column("top-1 share", _show("share")),
        Column("rank-1, rounded", _show("rounded_share")),
        Column("noise alone", _show("noise_share")),
        Column("s₁ left of rank-1", _show("rounded_s1_ratio")),
        Column("noise norm / update norm", _show("noise_norm_ratio")),
        Column("noise s₁ / update s₁", _show("noise_s1_ratio")),
    ]
    return [
        replace(table(part, columns, str(run)), notes=(_reading(part),))
        for run, part in groups(frame, "run")
    ]


def _show(name: str) -> Callable[[Any], str]:
    return lambda row: number(getattr(row, name))


def _reading(part: pd.DataFrame) -> str:
    """Whether bf16 could have shown a rank-1 update of this run's size."""
    share, rounded = part["share"].mean(), part["rounded_share"].mean()
    if pd.isna(rounded):
        return "No matrix in scope has an update that bf16 could hold."
    if rounded >= INTACT:
        return (
            f"A rank-1 update of this size survives bf16 (top-1 share {number(rounded, 2)}): what "
            f"the measured share of {number(share, 2)} lacks is the update's own."
        )
    return (
        f"Stored in bf16, a rank-1 update of this size would show a top-1 share of only "
        f"{number(rounded, 2)} (measured: {number(share, 2)}): in bf16 checkpoints, a share as "
        "low as that does not speak against rank 1."
    )
