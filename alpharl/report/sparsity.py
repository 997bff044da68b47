"""Sparsity of the updates by three definitions, each beside that of a Gaussian update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.tables import Cell, Column, Table, table
from alpharl.report.words import number

DEFINITIONS = {
    "equal": "equal as stored",
    "close": "within 1e-5",
    "bf16": "within 0.1 %",
}
OVERALL = "overall"


def sparsity_frame(results: Results) -> pd.DataFrame:
    """Per run and measured step, over all tensors: shares of unchanged entries and their nulls."""
    whole = results.tables["sparsity"][results.tables["sparsity"]["tensor"] == OVERALL]
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
