"""The report's figures as SVG text: small multiples, one panel per run (and test suite)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullFormatter

from alpharl.dynamics.table import ERRORS
from alpharl.report.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, legend, looks_of, sheet, svg
from alpharl.report.frames import groups
from alpharl.report.pca import axis_labels
from alpharl.report.statistics import Z95
from alpharl.variants.recipes import CONTROLS


def accuracy(frame: pd.DataFrame) -> str:
    """Accuracy over steps, a line per suite with 95 % intervals."""
    runs = list(frame["run"].unique())
    with sheet(len(runs), 2.6, sharey=True) as (figure, panels):
        for axes, run in zip(panels, runs, strict=True):
            _accuracy_panel(axes, frame[frame["run"] == run])
            axes.set(title=run, xlabel="step")
        panels[0].set_ylabel("accuracy")
        legend(figure, panels[0])
        return svg(figure, "accuracy")


def _accuracy_panel(axes: Axes, frame: pd.DataFrame) -> None:
    tests = iter([BLUE, GREEN, PURPLE] * len(frame))
    for (suite, role), group in groups(frame, ["suite", "role"]):
        fitted = role == "validation"
        axes.errorbar(
            group["step"],
            group["accuracy"],
            Z95 * group["stderr"],
            label=f"{suite} ({role})" if suite != role else str(suite),
            color=ORANGE if fitted else next(tests),
            linestyle="--" if fitted else "-",
            marker="s" if fitted else "o",
            markersize=3,
            elinewidth=0.8,
        )


def recovery(frame: pd.DataFrame) -> str:
    """Accuracy of the rank-k variants and controls, between the base and the full run."""
    parts = list(groups(frame, ["run", "suite"]))
    longest = max((len(group) for _, group in parts), default=1)
    with sheet(len(parts), 0.9 + 0.2 * longest, sharex=True, sharey=True) as (figure, panels):
        for axes, (key, group) in zip(panels, parts, strict=True):
            _recovery_panel(axes, group)
            axes.set(title=_title(key), xlabel="accuracy")
        legend(figure, panels[0])
        return svg(figure, "recovery")


_BARS: list[tuple[list[str], str, dict[str, Any]]] = [
    (["rank", "unscaled", "component"], "part of the update", {"color": BLUE}),
    (
        list(CONTROLS),
        "control",
        {"color": "#d4d4d4", "hatch": "////", "edgecolor": "#777777"},
    ),
    (["full-update"], "ceiling", {"color": "white", "edgecolor": "black"}),
]
"""Kinds of variants, their words in the legend, and how their bars look."""


def _recovery_panel(axes: Axes, group: pd.DataFrame) -> None:
    base, full = group["accuracy"].iloc[0], group["accuracy"].iloc[-1]
    _ends(axes.axvline, base, full)
    # Bars without length fix the order of the rows: each control stands below its variant.
    axes.barh(group["label"].iloc[1:-1].tolist(), 0)
    for kinds, words, look in _BARS:
        bars = group[group["kind"].isin(kinds)]
        axes.barh(
            bars["label"].tolist(),
            bars["accuracy"],
            xerr=Z95 * bars["stderr"],
            linewidth=0.5,
            error_kw={"elinewidth": 0.8},
            label=words,
            **look,
        )
    axes.yaxis.set_inverted(True)
    axes.grid(axis="y", visible=False)


def _ends(draw: Callable[..., Any], base: float, full: float) -> None:
    """Lines at the accuracies of the base and of the full run."""
    draw(base, color="black", linestyle=":", linewidth=1, zorder=3, label="base")
    draw(full, color="black", linestyle="--", linewidth=1, zorder=3, label="full run")


def spectrum(values: pd.DataFrame, norms: pd.DataFrame) -> str:
    """Share of squared norm per singular value beside the Gaussian null; norms over steps."""
    with sheet(2, 2.9) as (figure, (left, right)):
        colours = looks_of(list(values["run"].unique()))
        for run, (colour, marker) in colours.items():
            share, norm = values[values["run"] == run], norms[norms["run"] == run]
            look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 3}
            left.plot(share["index"], share["share"], label=run, **look)
            right.plot(norm["step"], norm["norm"], label=run, **look)
        null = values.groupby("index")["null"].mean()
        left.plot(null.index, null, color=GREY, linestyle="--", label="Gaussian null")
        left.set(title="Spectrum at the last step", yscale="log")
        _plain_log(left.yaxis)
        left.set(xlabel="index of the singular value", ylabel="share of squared norm")
        right.set(title="Norm of the update", xlabel="step", ylabel="Frobenius norm")
        right.set_ylim(bottom=0)
        legend(figure, left)
        return svg(figure, "spectrum")


def _plain_log(axis: Axis) -> None:
    """Marks of a logarithmic axis at 1, 2 and 5, written as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def forecasts(frame: pd.DataFrame) -> str:
    """Paired difference to `last`, with 95 % intervals, per method and window."""
    frame = frame[frame["method"] != "last"]
    labels = list(frame["label"].unique())
    parts = list(groups(frame, ["run", "suite"]))
    with sheet(len(parts), 1.0 + 0.32 * len(labels), sharex=True, sharey=True) as (
        figure,
        panels,
    ):
        for axes, (key, group) in zip(panels, parts, strict=True):
            _forecast_panel(axes, group, labels)
            axes.set(title=_title(key), xlabel="accuracy − accuracy of last")
        legend(figure, panels[0])
        return svg(figure, "forecasts")


def _forecast_panel(axes: Axes, group: pd.DataFrame, labels: list[str]) -> None:
    windows = list(group["window"].unique())
    offsets = np.linspace(-0.25, 0.25, len(windows)) if len(windows) > 1 else [0.0]
    looks = looks_of(windows)
    axes.axvline(0, color="black", linewidth=1)
    for window, offset in zip(windows, offsets, strict=True):
        rows = group[group["window"] == window]
        colour, marker = looks[window]
        axes.errorbar(
            rows["difference"],
            [labels.index(label) + offset for label in rows["label"]],
            xerr=Z95 * rows["difference_se"],
            color=colour,
            marker=marker,
            linestyle="none",
            markersize=4,
            elinewidth=1,
            label=f"window {window}",
        )
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)


def amplitudes(frame: pd.DataFrame, gains: pd.DataFrame) -> str:
    """Accuracy over the norm of what is predicted, a line per method, between base and full run."""
    looks = looks_of(list(frame.dropna(subset=["norm_ratio"])["label"].unique()))
    frame = frame[frame["label"].isin(looks)].astype({"norm_ratio": float})
    parts = list(groups(frame, ["run", "suite", "window"]))
    ends = gains.set_index(["run", "suite"])[["base", "full"]]
    with sheet(len(parts), 2.8, sharey=True) as (figure, panels):
        for axes, (key, group) in zip(panels, parts, strict=True):
            _ends(axes.axhline, *ends.loc[key[:2]])
            for label, line in groups(group, "label"):
                _amplitude_line(axes, line.sort_values("amplitude"), looks[label])
            axes.set(title=f"{_title(key[:2])} · {key[2]}", xscale="log", ylabel="accuracy")
            axes.set_xlabel("|predicted| / |last observed|")
            _plain_log(axes.xaxis)
        if panels:
            legend(figure, panels[0])
        return svg(figure, "amplitudes")


def _amplitude_line(axes: Axes, line: pd.DataFrame, look: tuple[str, str]) -> None:
    """One method's line; that of `last`, the one to beat, is dashed."""
    axes.errorbar(
        line["norm_ratio"], line["accuracy"], Z95 * line["stderr"], label=line["label"].iloc[0],
        linestyle="--" if line["method"].iloc[0] == "last" else "-",
        color=look[0], marker=look[1], markersize=3, elinewidth=0.8,
    )  # fmt: skip


def pca(frame: pd.DataFrame) -> str:
    """Each run's path in its first two components, over that of the mean walk."""
    runs = list(frame["run"].unique())
    with sheet(len(runs), 3.2) as (figure, panels):
        for axes, run in zip(panels, runs, strict=True):
            part = frame[frame["run"] == run]
            x, y = (part[part["component"] == k] for k in (1, 2))
            axes.plot(x["walk"], y["walk"], "--", color=GREY, label="random walk, mean")
            own = x["coordinate"], y["coordinate"]
            axes.plot(*own, "o-", color=BLUE, markersize=3, label="run")
            axes.plot(*(points.iloc[:1] for points in own), "s", color="black", label="base")
            axes.set(title=run, **axis_labels(part))
        if panels:
            legend(figure, panels[0])
        return svg(figure, "pca")


def linearity(frame: pd.DataFrame) -> str:
    """Per measure: the values' 90 % range over modules, over the mean 90 % band of each null."""
    # Hold-out errors have units of their own, and stand in the table.
    frame = frame[~frame["measure"].isin(ERRORS)]
    runs = list(frame["run"].unique())
    rows = [f"{m} · {n}" for m, n in frame[["measure", "null"]].drop_duplicates().to_numpy()]
    with sheet(len(runs), 0.9 + 0.28 * len(rows), sharex=True, sharey=True) as (figure, panels):
        for axes, run in zip(panels, runs, strict=True):
            _linearity_panel(axes, frame[frame["run"] == run], rows)
            axes.set(title=run, xlabel="R² or share")
        if panels:
            legend(figure, panels[0])
        return svg(figure, "linearity")


def _linearity_panel(axes: Axes, group: pd.DataFrame, rows: list[str]) -> None:
    at = [rows.index(f"{m} · {n}") for m, n in zip(group["measure"], group["null"], strict=True)]
    band = group["null_q95"] - group["null_q05"]
    axes.barh(at, band, left=group["null_q05"], height=0.5, color="#cfcfcf", label="null, 5–95 %")
    axes.plot(group["null_q50"], at, "|", color="#555555", markersize=9, label="null, median")
    axes.hlines(at, group["value_q05"], group["value_q95"], color=BLUE, linewidth=1)
    axes.plot(group["value"], at, "o", color=BLUE, markersize=4, label="measured (mean, 5–95 %)")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)


def _title(key: Any) -> str:
    """Panel title of a run and a suite."""
    run, suite = key
    return f"{run} · {suite}"
