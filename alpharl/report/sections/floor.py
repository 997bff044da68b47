"""The bf16 floor of each run's last update: module means, and what they say in plain words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import Frames, groups
from alpharl.report.numbers import number
from alpharl.report.section import Section
from alpharl.report.tables import Column, Table, table

NUMBERS = [
    "unmoved", "rounded_unmoved", "share", "rounded_share", "noise_share",
    "rounded_s1_ratio", "noise_norm_ratio", "noise_s1_ratio",
]  # fmt: skip
INTACT = 0.95
"""Top-1 share from which on a rounded rank-1 update still passes for one."""


class Floor(Section):
    """What storing weights in bf16 does to updates of the measured size."""

    name = "floor"
    title = "The bf16 floor"
    null = (
        "If an update were nothing but bf16 rounding, its two ratios to noise would be 1, and "
        "its top-1 share would be that of noise alone."
    )
    text = """
    <p>bfloat16 keeps 8 significant bits, so an update smaller than the gap between a weight and its
    neighbour is lost or jumps by the whole gap. Each measured number stands next to what bf16
    storage alone would do: to an exactly rank-1 update of the same norm (<em>rank-1, rounded</em>),
    and as pure rounding noise, uniform within half a gap of each weight. Means over the matrices of
    the last step. For checkpoints that are stored in float32 the table says what saving them in
    bf16 would cost.</p>
    {% for table in tables %}
    {{ grid(table) }}
    {% endfor %}
    <p class="note">Unmoved: share of weights whose stored value is exactly the base's. s₁ left: top
    singular value after rounding over the norm before; 1 without rounding. Where the noise's norm
    comes near that of the update, the tail of the spectrum is rounding.
    Data: <code>tables/floor.csv</code>.</p>
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """Means per module."""
        return {"floor": floor_frame(results)}

    def context(self, results: Results, frames: Frames) -> dict[str, Any]:
        """A table per run."""
        return {"tables": floor_tables(frames["floor"])}


def floor_frame(results: Results) -> pd.DataFrame:
    """Per run and module at the last step: number of matrices, and means over them."""
    grouped = results.floor.groupby(["run", "module"], sort=False)
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
