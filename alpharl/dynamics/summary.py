"""The table of trajectory fits in brief: over all matrices, and by module."""

from __future__ import annotations

import pandas as pd

CHANCE = 0.05
"""Share of matrices whose number lies beyond the null's 95 % by chance."""
_MEANS = ["value", "null_q05", "null_q50", "null_q95"]


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Means over matrices: each value next to its null's quantiles, and the share p < 0.05."""
    grouped = table.groupby(["measure", "null"])
    return grouped[_MEANS].mean().assign(**{"p<0.05": grouped["p"].apply(_beyond)})


def by_module(table: pd.DataFrame) -> pd.DataFrame:
    """Share p < 0.05 of the matrices of each module (columns), below the measure's mean value.

    Rows are (measure, null), the mean value's null being "value".
    """
    values = table.groupby(["measure", "module"], sort=False)["value"].mean().unstack()
    shares = table[table["p"].notna()].groupby(["measure", "null", "module"], sort=False)["p"]
    beyond = shares.apply(_beyond).unstack()
    values.index = pd.MultiIndex.from_product([values.index, ["value"]], names=["measure", "null"])
    both = pd.concat([values, beyond])
    return both.sort_index(level="measure", sort_remaining=False, kind="stable")


def _beyond(p: pd.Series[float]) -> float:
    return float((p < CHANCE).mean()) if p.notna().any() else float("nan")
