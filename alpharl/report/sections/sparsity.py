"""Sparsity of the updates by three definitions, each next to that of a Gaussian update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import Frames
from alpharl.report.numbers import number
from alpharl.report.section import Section
from alpharl.report.tables import Cell, Column, Table, table

DEFINITIONS = {
    "equal": "equal as stored",
    "close": "within 1e-5",
    "bf16": "within 0.1 %",
}
OVERALL = "overall"


class Sparsity(Section):
    """How many weights the updates leave as they were."""

    name = "sparsity"
    title = "Sparsity"
    null = (
        "If updates landed on all weights alike, each share would be the Gaussian one below it, "
        "which small updates and coarse storage alone can bring near 1."
    )
    text = """
    <p>Share of all weights, in scope or not, that the last step leaves as they were: exactly, as
    stored; by an absolute tolerance (Mukherjee et al., arXiv 2505.11711); and by one relative to
    the weight (arXiv 2511.08567), which in bf16 files means equality. The answers may be far
    apart. <em>Gaussian</em>: the same share for independent Gaussian noise that is stored with the
    same norm per tensor. As much sparsity as that follows from the size of the update and the
    precision of the files; only what lies above it says where updates land.</p>
    {{ grid(sparsity) }}
    <p class="note">Up to ten checkpoints of each run: <code>tables/sparsity.csv</code>.</p>
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """Shares over the measured steps."""
        return {"sparsity": sparsity_frame(results)}

    def context(self, results: Results, frames: Frames) -> dict[str, Any]:
        """The table of each run's last step."""
        return {"sparsity": sparsity_table(frames["sparsity"])}


def sparsity_frame(results: Results) -> pd.DataFrame:
    """Per run and measured step, over all tensors: shares of unchanged entries and their nulls."""
    whole = results.sparsity[results.sparsity["tensor"] == OVERALL]
    nulls = [f"null_{name}" for name in DEFINITIONS]
    columns = ["run", "step", "entries", "norm", *DEFINITIONS, "null_norm", *nulls]
    return whole[columns].reset_index(drop=True)


def last_of_each_run(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last step."""
    return frame[frame["step"] == frame.groupby("run", sort=False)["step"].transform("max")]


def sparsity_table(frame: pd.DataFrame) -> Table:
    """Each run's last step."""
    columns = [
        Column("run", lambda r: r.run, kind="word"),
        Column("step", lambda r: str(r.step)),
        Column("entries", lambda r: number(r.entries, 0)),
        *(Column(heading, _show(name)) for name, heading in DEFINITIONS.items()),
    ]
    return table(last_of_each_run(frame), columns)


def _show(name: str) -> Callable[[Any], Cell]:
    return lambda row: Cell(
        number(getattr(row, name)), f"Gaussian {number(getattr(row, f'null_{name}'))}"
    )
