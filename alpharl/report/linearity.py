"""Trajectory fits beside their nulls, and what each line of the table means in plain words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from alpharl.dynamics.summary import CHANCE
from alpharl.dynamics.table import ERRORS
from alpharl.report.collect import Results
from alpharl.report.frames import groups, records

KEEP_LAST = "keep-last"
"""The null of the hold-outs: the error of staying at the last fitted checkpoint."""
_MEANS = ["value", "null_q05", "null_q50", "null_q95"]

MEASURES = {
    "pls_r2": "PLS R² of u₁ on accuracy, in sample",
    "pls_left_out_r2": "the same with each checkpoint predicted from all the others",
    "line_r2": "R² of a straight line through the temporal rank-1 coefficient, in sample",
    "line_accuracy_r2": "the same against accuracy instead of the step",
    "temporal_share": "share of energy in the first temporal direction",
    "cosine_u1": "mean |cosine| of u₁ between neighbouring checkpoints; 1 is no rotation",
    "cosine_v1": "the same for v₁",
    "holdout_pls_mae": "forward hold-out: mean absolute error of the predicted accuracy",
    "holdout_line_ratio": "forward hold-out: error of the line over that of keeping the weights",
}

NULLS = {
    "permutation": "the accuracies, or the order of the checkpoints, shuffled",
    "noise": "independent Gaussian vectors instead of the trajectory",
    "random-walk": "a walk without drift, with the trajectory's step lengths",
    "bf16": "such a walk, with every checkpoint stored in bfloat16",
    KEEP_LAST: "no fit, keep the last fitted checkpoint",
}


def linearity_frame(results: Results) -> pd.DataFrame:
    """Per run, measure and null: means over the modules, and the share of modules beyond the null.

    `beyond` counts p < 0.05; for a hold-out, errors smaller than those of keeping the last.
    """
    frame = compared(results.tables["dynamics"], ["run", "measure", "null"])
    # The nulls of one measure stand together.
    order = {measure: i for i, measure in enumerate(frame["measure"].unique())}
    frame = frame.sort_values("measure", key=lambda m: m.map(order), kind="stable")
    return frame.assign(reading=[_reading(row) for row in records(frame)])


def compared(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Values beside their nulls, one row per combination of the keys, which end with the null."""
    rows = []
    for key, group in groups(table, keys):
        keep_last = key[-1] == KEEP_LAST
        beyond = group["value"] < group["null_q50"] if keep_last else group["p"] < CHANCE
        judged = group["value"].notna() if keep_last else group["p"].notna()
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                "modules": len(group),
                **dict(zip(_MEANS, group[_MEANS].mean(), strict=True)),
                "value_q05": group["value"].quantile(0.05),
                "value_q95": group["value"].quantile(0.95),
                "beyond": beyond[judged].mean() if judged.any() else np.nan,
            }
        )
    columns = [*keys, "modules", *_MEANS, "value_q05", "value_q95", "beyond"]
    return pd.DataFrame(rows, columns=columns)


def _reading(row: Any) -> str:
    """One line in plain words."""
    if np.isnan(row.value) or np.isnan(row.beyond):
        return "not measured here"
    if row.null == KEEP_LAST:
        return _reading_holdout(row)
    if row.beyond <= 2 * CHANCE:
        return f"no more than chance; the null alone gives {row.null_q50:.2f}"
    amount = "most" if row.beyond > 0.5 else "some"
    verb = "have errors below" if row.measure in ERRORS else "exceed"
    return f"{amount} modules {verb} their null; it alone gives {row.null_q50:.2f}"


def _reading_holdout(row: Any) -> str:
    better = row.value < row.null_q50
    percent = 100 * (row.beyond if better else 1 - row.beyond)
    verb = "beats" if better else "is worse than"
    return f"forward in time the fit {verb} keeping the last ({percent:.0f} % of modules)"
