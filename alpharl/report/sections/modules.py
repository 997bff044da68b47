"""Trajectory fits of each kind of module, next to the random walk."""

from __future__ import annotations

from typing import Any

import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import Frames, groups, records
from alpharl.report.numbers import number
from alpharl.report.section import Section
from alpharl.report.sections.dynamics import compared
from alpharl.report.tables import Cell, Column, Table, table

NULL = "random-walk"
"""The null that asks for most, and that every measure has."""


class Modules(Section):
    """The same fits, told apart by module."""

    name = "modules"
    title = "By module"
    null = (
        "If the path of a module were a random walk, its means would lie around the medians "
        "below them."
    )
    text = """
    {% for table in tables %}
    {{ grid(table) }}
    {% endfor %}
    <p class="note">Means over layers; below each, the median of the random walk. All nulls:
    <code>tables/dynamics_modules.csv</code>.</p>
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """Every module, measure and null."""
        return {"dynamics_modules": modules_frame(results)}

    def context(self, results: Results, frames: Frames) -> dict[str, Any]:
        """A table per run."""
        return {"tables": modules_tables(frames["dynamics_modules"])}


def modules_frame(results: Results) -> pd.DataFrame:
    """Per run, module, measure and null: means over the layers, and the share beyond the null."""
    return compared(results.tables["dynamics"], ["run", "module", "measure", "null"])


def modules_tables(frame: pd.DataFrame) -> list[Table]:
    """One table per run: a row per module, a column per measure, the walk's median below each."""
    walked = frame[frame["null"] == NULL]
    return [_table(part, str(run)) for run, part in groups(walked, "run")]


def _table(part: pd.DataFrame, run: str) -> Table:
    cells = {(row.module, row.measure): row for row in records(part)}

    def column(measure: str) -> Column:
        return Column(measure, lambda row: _cell(cells.get((row.module, measure))))

    counts = part.groupby("module", sort=False)["modules"].max().reset_index()
    heads = [
        Column("module", lambda row: row.module, kind="word"),
        Column("matrices", lambda row: str(row.modules)),
    ]
    return table(counts, [*heads, *map(column, part["measure"].unique())], run)


def _cell(row: Any) -> Cell:
    return Cell("") if row is None else Cell(number(row.value), f"walk {number(row.null_q50)}")
