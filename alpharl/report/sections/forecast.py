"""Forecasts as predicted: what they keep and save, against the window's last checkpoint."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alpharl.names import checkpoint_name
from alpharl.report.canvas import legend, looks_of, panel_title, sheet, svg
from alpharl.report.collect import Results
from alpharl.report.frames import Frames, groups, records
from alpharl.report.numbers import number, paired_difference
from alpharl.report.score_columns import (
    NAN,
    RATIOS,
    RECOVERY,
    RETENTION,
    SCORE,
    TABLE,
    TRUNCATED,
    accuracy_columns,
    difference_columns,
    difference_names,
    ends,
    framed,
    ratio_columns,
    score_columns,
    tables_by_run,
    with_holm,
)
from alpharl.report.section import Section
from alpharl.report.sections.savings import balance
from alpharl.report.statistics import LEVEL, Z95, holm
from alpharl.report.tables import Cell, Column, Table
from alpharl.study.forecasts import ForecastVariant
from alpharl.variants.truth import NUMBERS

FORECAST = [
    "run", "suite", "window", "through", "target_step", "label", "method", "options",
]  # fmt: skip
"""Columns that say which forecast a row is of."""
_DIFFERENCES = ["difference", "full_difference"]


class Forecast(Section):
    """Every method's forecast from every window."""

    name = "forecast"
    nav = "Forecasts"
    title = "Forecasts"
    absent = "This study makes no forecasts."
    null = (
        "If no forecast differed from the last checkpoint, about 1 in 40 would still be marked "
        "as better (△) and 1 in 40 as worse (▽), and at most 1 table in 20 would hold a false ▲ "
        "or ▼."
    )
    text = """
    <p>Each method sees the checkpoints of its window and no later one, and forecasts
    {% if target_accuracy is none %}
    the target step.
    {% else %}
    the model whose validation accuracy is {{ target_accuracy }}. Methods that fit accuracy take it
    as it is. The others forecast the step at which the least-squares line of the window's
    validation accuracies reaches it, and are undefined where these do not rise or are there
    already. Steps and seconds saved count up to that step; no trained weights stand for it.
    {% endif %}
    <em>Last</em> is no forecast: the window's last checkpoint, unchanged, and the rival to
    beat.</p>
    {% call figure("forecasts") %}
    Paired difference to <em>last</em> at the same window, with 95 % intervals. Right of the line:
    the forecast is better.
    {% endcall %}
    {% for table in tables %}
    {{ grid(table) }}
    {% endfor %}
    <p class="note">Norm ratio: norm of the forecast update over that of the window's last. Weight
    error: distance to the target step's trained weights over that of the window's last; 1 is as
    good as keeping the last, below 1 is better. Below it, the forecast update's cosine to the
    trained one and its norm over the trained one's, all over the matrices in scope. Seconds saved:
    training from the window's end to the target, minus what the method needs (section
    {{ number_of.cost }}); — where training was not measured here.
    Data: <code>tables/forecasts.csv</code>.</p>
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """All forecasts as predicted."""
        return {"forecasts": forecasts_frame(results)}

    def figures(self, frames: Frames) -> dict[str, str]:
        """Their differences to `last`, if there are any."""
        compared = comparisons(frames["forecasts"])["compared"]
        return {"forecasts": _draw(frames["forecasts"])} if compared else {}

    def context(self, results: Results, frames: Frames) -> dict[str, Any] | None:
        """The tables, and the accuracy that was forecast; None without forecasts."""
        if frames["forecasts"].empty:
            return None
        return {
            "target_accuracy": results.study.forecast.target_accuracy,
            "tables": forecast_tables(frames["forecasts"]),
        }


def forecasts_frame(results: Results) -> pd.DataFrame:
    """Per run, test suite and forecast as predicted: accuracy, what was kept, and what was saved.

    Paired differences: `difference` to the window's last checkpoint, what `last` is by definition,
    and `full_difference` to the full run. `truth_*` compare weights with those of the target step;
    nan where it was not trained.
    """
    frame = at_all_amplitudes(results)
    predicted = frame[frame["amplitude"] == 1].drop(columns="amplitude").reset_index(drop=True)
    return with_holm(predicted, _DIFFERENCES, TABLE)


def at_all_amplitudes(results: Results) -> pd.DataFrame:
    """As `forecasts_frame`, with the same forecasts at each `amplitude`, and without Holm."""
    rows = [
        _row(results, run, suite, forecast)
        for run in results.study.runs
        for suite in results.study.test_suites
        for forecast in results.plan.forecasts(run)
    ]
    seconds = ["training", "factors", "gram", "validation", "forecast", "saved"]
    tail = [
        "undefined",
        "norm_ratio",
        *(f"truth_{name}" for name in NUMBERS),
        "steps_saved",
        *(f"seconds_{name}" for name in seconds),
    ]
    differences = [column for name in _DIFFERENCES for column in difference_names(name)]
    return framed(rows, [*FORECAST, "amplitude", *SCORE, *RATIOS, *differences, *tail])


def _row(results: Results, run: str, suite: str, forecast: ForecastVariant) -> dict[str, Any]:
    base, full = ends(results, run, suite)
    last = results.scores[run, suite, checkpoint_name(forecast.through)]
    score = results.scores[run, suite, forecast.name]
    fitted = results.forecasts[run, forecast.name]
    target = results.target_step(run, forecast)
    known = results.truth.get((run, forecast.name), {})
    spent = balance(results, run, forecast)
    defined = not fitted["undefined"]
    against_last = difference_columns("difference", score, last)
    if forecast.options.method == "last":
        against_last["difference_p"] = NAN
    return {
        **{"run": run, "suite": suite, "window": forecast.window, "through": forecast.through},
        **{"target_step": target, "label": forecast.label},
        **{"method": forecast.options.method, "options": _options(forecast)},
        "amplitude": forecast.amplitude,
        **score_columns(score.raw, results.study.suites[suite]),
        **ratio_columns(score, base, full),
        **against_last,
        **difference_columns("full_difference", score, full),
        **{"undefined": fitted["undefined"] or "", "norm_ratio": fitted["norm_ratio"]},
        **{f"truth_{name}": value for name, value in known.items()},
        "steps_saved": target - forecast.through,
        **{f"seconds_{name}": seconds for name, seconds in asdict(spent).items()},
        "seconds_saved": spent.saved if defined else NAN,
    }


def _options(forecast: ForecastVariant) -> str:
    """What the method was given; a target accuracy of the study stands for the method's own."""
    given = forecast.options.model_dump(exclude={"method"}, exclude_none=True)
    if forecast.target_accuracy is not None and "target_accuracy" in given:
        given["target_accuracy"] = forecast.target_accuracy
    return json.dumps(given)


def comparisons(forecasts: pd.DataFrame) -> dict[str, Any]:
    """How many forecasts were compared with `last`, and how many chance would single out.

    `better_of_all` and `worse_of_all` survive Holm-Bonferroni over all tables.
    """
    compared = forecasts[forecasts["difference_p"].notna()]
    survives = holm(compared["difference_p"].to_numpy(float)) < LEVEL
    better, worse = compared["difference_low"] > 0, compared["difference_high"] < 0
    return {
        "compared": len(compared),
        "better": int(better.sum()),
        "worse": int(worse.sum()),
        "better_of_all": int((better & survives).sum()),
        "worse_of_all": int((worse & survives).sum()),
        "chance": number(len(compared) * LEVEL, 1),
    }


def _draw(frame: pd.DataFrame) -> str:
    """Paired difference to `last`, with 95 % intervals, per method and window."""
    frame = frame[frame["method"] != "last"]
    labels = list(frame["label"].unique())
    parts = list(groups(frame, TABLE))
    with sheet(len(parts), 1.0 + 0.32 * len(labels), sharex=True, sharey=True) as (
        figure,
        panels,
    ):
        for axes, (key, group) in zip(panels, parts, strict=True):
            _panel(axes, group, labels)
            axes.set(title=panel_title(*key), xlabel="accuracy − accuracy of last")
        legend(figure, panels[0])
        return svg(figure, "forecasts")


def _panel(axes: Axes, group: pd.DataFrame, labels: list[str]) -> None:
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


def forecast_tables(frame: pd.DataFrame) -> list[Table]:
    """Forecasts per run and test suite, `last` first in each window."""
    # Per run the windows stay in the study's order; `last` moves to the front of its window.
    ordered = [
        part.sort_values("method", key=lambda method: method != "last", kind="stable")
        for _, part in groups(frame, [*TABLE, "window"])
    ]
    return tables_by_run(pd.concat(ordered), _columns, _DIFFERENCES, _undefined, group="window")


def _columns(frame: pd.DataFrame) -> list[Column]:
    return [
        Column("window", lambda r: f"{r.window} (to {r.through})", kind="word"),
        Column("method", _method, kind="text"),
        *accuracy_columns(frame),
        RETENTION,
        RECOVERY,
        Column("difference to last [95 %]", lambda r: _stacked(r, "difference")),
        Column("difference to full run [95 %]", lambda r: _stacked(r, "full_difference")),
        Column("norm ratio", lambda r: number(r.norm_ratio, 2)),
        Column("weight error", _weight_error),
        TRUNCATED,
        Column("steps saved", lambda r: number(r.steps_saved, 0)),
        Column("seconds saved", lambda r: number(r.seconds_saved, 0)),
    ]


def _method(row: Any) -> Cell:
    """Label and options; the reason why a method is undefined stands below the table."""
    if row.undefined:
        return Cell(row.label, "undefined, see below")
    words = [f"{key} {value}" for key, value in json.loads(row.options).items()]
    if row.label != row.method:
        words.insert(0, row.method)
    return Cell(row.label, ", ".join(words))


def _stacked(row: Any, name: str) -> Cell:
    """A paired difference above its interval: this table is wide."""
    value, bracket, interval = paired_difference(row, name).partition("[")
    return Cell(value.strip(), bracket + interval)


def _weight_error(row: Any) -> Cell:
    """Distance to the trained weights over that of the window's last, above direction and size."""
    error, cosine, norm = row.truth_relative_error, row.truth_cosine, row.truth_norm_ratio
    note = "" if math.isnan(error) else f"cosine {number(cosine, 2)}, norm {number(norm, 2)}"
    return Cell(number(error, 2), note)


def _undefined(frame: pd.DataFrame) -> list[str]:
    """Why methods are undefined, a line each."""
    return [
        f"{row.label} at window {row.window} is undefined: "
        f"{row.undefined.removeprefix(f'{row.method}: ')}."
        for row in records(frame[frame["undefined"] != ""])
    ]
