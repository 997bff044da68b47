"""Trajectory fits beside their nulls, and what each line of the table means in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import groups, records

KEEP_LAST = "keep-last"
"""The null of the hold-outs: the error of staying at the last fitted checkpoint."""

CHANCE = 0.05
"""Share of modules that lie beyond their null's 95 % quantile by chance."""


_MEANS = ["value", "null_q05", "null_q50", "null_q95"]


@dataclass(frozen=True)
class Measure:
    """What a measure is, in words."""

    words: str
    holdout: bool = False


MEASURES = {
    "pls_r2": Measure("PLS R² of u₁ on accuracy, in sample"),
    "line_r2": Measure("R² of a straight line through the temporal rank-1 coefficient, in sample"),
    "temporal_share": Measure("share of energy in the first temporal direction"),
    "holdout_pls_mae": Measure("forward hold-out: mean absolute error of predicted accuracy", True),
    "holdout_line_ratio": Measure(
        "forward hold-out: error of the line over the error of keeping the last weights", True
    ),
}

NULLS = {
    "permutation": "accuracies permuted over the steps",
    "random-walk": "random walk with the same step norms",
    "noise": "independent noise instead of the update",
    KEEP_LAST: "no fit: keep the last fitted checkpoint",
}


def linearity_frame(results: Results) -> pd.DataFrame:
    """Per run, measure and null: means over the modules, and the share of modules beyond the null.

    `beyond` counts p < 0.05; for a hold-out, errors smaller than those of keeping the last.
    """
    rows = []
    for (run, measure, null), group in groups(results.dynamics, ["run", "measure", "null"]):
        beyond = group["value"] < group["null_q50"] if null == KEEP_LAST else group["p"] < CHANCE
        judged = group["null_q50"].notna() if null == KEEP_LAST else group["p"].notna()
        rows.append(
            {
                **{"run": run, "measure": measure, "null": null, "modules": len(group)},
                **dict(zip(_MEANS, group[_MEANS].mean(), strict=True)),
                "value_q05": group["value"].quantile(0.05),
                "value_q95": group["value"].quantile(0.95),
                "beyond": beyond[judged].mean() if judged.any() else np.nan,
            }
        )
    frame = pd.DataFrame(rows)
    return frame.assign(reading=[_reading(row) for row in records(frame)])


def _reading(row: Any) -> str:
    """One line in plain words."""
    if np.isnan(row.value) or np.isnan(row.beyond):
        return "not measured here"
    if row.null == KEEP_LAST:
        return _reading_holdout(row)
    if row.beyond <= 2 * CHANCE:
        return f"no more than chance: the null alone gives {row.null_q50:.2f}"
    amount = "most" if row.beyond > 0.5 else "some"
    return f"{amount} modules exceed their null, which alone gives {row.null_q50:.2f}"


def _reading_holdout(row: Any) -> str:
    if row.value < row.null_q50:
        return f"forward in time the fit beats keeping the last ({row.beyond:.0%} of modules)"
    worse = 1 - row.beyond
    return f"forward in time the fit is worse than keeping the last ({worse:.0%} of modules)"
