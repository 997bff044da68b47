"""Trajectory fits next to their nulls, and what each line of the table means in plain words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alpharl.dynamics.summary import CHANCE
from alpharl.dynamics.table import ERRORS
from alpharl.report.canvas import BLUE, legend, sheet, svg
from alpharl.report.collect import Results
from alpharl.report.frames import Frames, groups, records
from alpharl.report.numbers import DASH, number
from alpharl.report.section import Section
from alpharl.report.tables import Cell, Column, Table, table

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


class Dynamics(Section):
    """How well lines fit the paths of the updates, over all modules."""

    name = "dynamics"
    nav = "Dynamics"
    title = "Dynamics, next to their nulls"
    null = (
        "If training only wandered, R² would still be high, as the random walk's median shows: "
        "each value would lie in that null's band, with about 0.05 of the modules beyond it, "
        "and hold-outs would do no better than keeping the last checkpoint."
    )
    text = """
    <p>Means over modules. A high R² alone means little: a smooth path, or a random walk, fits a
    line well. What counts is the distance to the null, and the forward hold-out: fitted on the
    first part of the run, judged on the rest. A permutation is the weakest null: any smooth path
    passes it. Noise and the random walk ask for more; <em>bf16</em> is a random walk whose
    checkpoints were stored in bfloat16.</p>
    {% call figure("dynamics") %}
    Measured values (dot: mean; line: 5 to 95 % of modules) over each null's 5 to 95 % band.
    {% endcall %}
    {{ grid(fits) }}
    <p class="note">Beyond null: share of modules with p &lt; 0.05 (0.05 expected by chance),
    counted downwards for errors; next to <em>keep-last</em>, share of modules whose error is
    smaller than that of keeping the last checkpoint. Data: <code>tables/dynamics.csv</code>.</p>
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """Every measure next to every null."""
        return {"dynamics": dynamics_frame(results)}

    def figures(self, frames: Frames) -> dict[str, str]:
        """The measures that are no errors."""
        return {"dynamics": _draw(frames["dynamics"])}

    def context(self, results: Results, frames: Frames) -> dict[str, Any]:
        """The table."""
        return {"fits": fits_table(frames["dynamics"])}


def dynamics_frame(results: Results) -> pd.DataFrame:
    """Per run, measure and null: means over the modules, and the share of modules beyond the null.

    `beyond` counts p < 0.05; for a hold-out, errors smaller than those of keeping the last.
    """
    frame = compared(results.tables["dynamics"], ["run", "measure", "null"])
    # The nulls of one measure stand together.
    order = {measure: i for i, measure in enumerate(frame["measure"].unique())}
    frame = frame.sort_values("measure", key=lambda m: m.map(order), kind="stable")
    return frame.assign(reading=[_reading(row) for row in records(frame)])


def compared(dynamics: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Values next to their nulls, one row per combination of the keys, which end with the null."""
    rows = []
    for key, group in groups(dynamics, keys):
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


def _draw(frame: pd.DataFrame) -> str:
    """Per measure: the values' 90 % range over modules, over the mean 90 % band of each null."""
    # Hold-out errors have units of their own, and stand in the table.
    frame = frame[~frame["measure"].isin(ERRORS)]
    runs = list(frame["run"].unique())
    rows = [f"{m} · {n}" for m, n in frame[["measure", "null"]].drop_duplicates().to_numpy()]
    with sheet(len(runs), 0.9 + 0.28 * len(rows), sharex=True, sharey=True) as (figure, panels):
        for axes, run in zip(panels, runs, strict=True):
            _panel(axes, frame[frame["run"] == run], rows)
            axes.set(title=run, xlabel="R² or share")
        if panels:
            legend(figure, panels[0])
        return svg(figure, "dynamics")


def _panel(axes: Axes, group: pd.DataFrame, rows: list[str]) -> None:
    at = [rows.index(f"{m} · {n}") for m, n in zip(group["measure"], group["null"], strict=True)]
    band = group["null_q95"] - group["null_q05"]
    axes.barh(at, band, left=group["null_q05"], height=0.5, color="#cfcfcf", label="null, 5–95 %")
    axes.plot(group["null_q50"], at, "|", color="#555555", markersize=9, label="null, median")
    axes.hlines(at, group["value_q05"], group["value_q95"], color=BLUE, linewidth=1)
    axes.plot(group["value"], at, "o", color=BLUE, markersize=4, label="measured (mean, 5–95 %)")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)


def fits_table(frame: pd.DataFrame) -> Table:
    """Trajectory fits next to their nulls; the runs of one measure and null stand together."""
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
