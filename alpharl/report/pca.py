"""How much of a run's path its principal components explain, beside random walks."""

from __future__ import annotations

import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import records
from alpharl.report.tables import Column, Table, table
from alpharl.report.words import number


def pca_frame(results: Results) -> pd.DataFrame:
    """Per run, component and step: coordinates, and the component's share beside the walks'."""
    return results.tables["pca"][
        ["run", *(name for name in results.tables["pca"] if name != "run")]
    ]


def pca_table(frame: pd.DataFrame) -> Table:
    """One row per run and component."""
    columns = [
        Column("run", lambda r: r.run, kind="word"),
        Column("component", lambda r: str(r.component)),
        Column("explained", lambda r: number(r.explained)),
        Column("walk median", lambda r: number(r.null_q50)),
        Column("walk, 5 to 95 %", lambda r: f"{number(r.null_q05)} to {number(r.null_q95)}"),
        Column("p", lambda r: number(r.p)),
    ]
    return table(frame.drop_duplicates(["run", "component"]), columns, group="run")


def axis_labels(frame: pd.DataFrame) -> dict[str, str]:
    """Labels of the two axes: the components' shares, and those of the walks."""
    once = frame[frame["component"] <= 2].drop_duplicates("component")
    return {
        f"{axis}label": f"PC{row.component}: {row.explained:.0%} (walks {row.null_q05:.0%} to "
        f"{row.null_q95:.0%})"
        for axis, row in zip("xy", records(once), strict=True)
    }
