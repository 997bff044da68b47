"""The tables of trajectory fits: beside every null, and by module beside the walk."""

from __future__ import annotations

from typing import Any

import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import groups, records
from alpharl.report.linearity import KEEP_LAST, MEASURES, NULLS, compared
from alpharl.report.tables import Cell, Column, Table, table
from alpharl.report.words import DASH, number

NULL = "random-walk"
"""The null that asks for most, and that every measure has."""


def linearity(frame: pd.DataFrame) -> Table:
    """Trajectory fits beside their nulls; the runs of one measure and null stand together."""
    columns = [
        Column("measure", _measure, kind="text"),
        Column("run", lambda r: r.run, kind="word"),
        Column("mean", lambda r: number(r.value)),
        Column("null median", lambda r: number(r.null_q50)),
        Column("null, 5 to 95 %", _band),
        Column("modules", lambda r: str(r.modules)),
        Column("beyond null", lambda r: number(r.beyond, 2)),
        Column("reading", lambda r: r.reading, kind="text"),
    ]
    key, _ = pd.factorize(frame["measure"] + " " + frame["null"])
    return table(frame.assign(key=key).sort_values("key", kind="stable"), columns, group="key")


def _band(row: Any) -> str:
    return DASH if row.null == KEEP_LAST else f"{number(row.null_q05)} to {number(row.null_q95)}"


def _measure(row: Any) -> Cell:
    words = [MEASURES[row.measure]] if row.measure in MEASURES else []
    words += [f"null: {NULLS[row.null]}"] if row.null in NULLS else []
    return Cell(f"{row.measure}, {row.null}", "; ".join(words))


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
