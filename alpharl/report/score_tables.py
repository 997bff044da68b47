"""The tables of scores: gains, rank-k variants, forecasts, and each task of a suite alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd

from alpharl.report.columns import comparisons_note
from alpharl.report.comparisons import FORECAST_DIFFERENCES, RECOVERY_DIFFERENCES
from alpharl.report.frames import groups, records
from alpharl.report.tables import Cell, Column, Table, table
from alpharl.report.words import apart, number, plus_minus, recovered
from alpharl.variants.recipes import CONTROLS

_RETENTION = Column("retention ± se", lambda r: plus_minus(r.retention, r.retention_se))
_RECOVERY = Column("gain recovery ± se", recovered)
_TRUNCATED = Column("cut off", lambda r: ("⚠ " if r.over_budget else "") + number(r.truncated, 2))
_OVER_BUDGET = (
    "⚠ More answers were cut off than the suite allows (max_truncated): such an accuracy measures "
    "the token budget as well."
)


def gains(frame: pd.DataFrame) -> Table:
    """Base, full run and gain, per run and suite."""
    columns = [
        Column("run", lambda r: r.run, kind="word"),
        Column("suite", lambda r: Cell(r.suite, "" if r.suite == r.role else r.role), kind="word"),
        Column("questions", _questions),
        Column("base ± se", lambda r: plus_minus(r.base, r.base_stderr)),
        Column("full run ± se", lambda r: plus_minus(r.full, r.full_stderr)),
        Column("full run's step", lambda r: str(r.last_step)),
        Column("gain ± se (paired)", lambda r: plus_minus(r.gain, r.gain_se)),
        replace(_TRUNCATED, heading="cut off, of any checkpoint at most"),
    ]
    return replace(table(frame, columns, group="run"), notes=tuple(_over_budget(frame)))


def _questions(row: Any) -> Cell:
    return Cell(str(row.n), f"{row.samples} samples each" if row.samples > 1 else "")


def recovery(frame: pd.DataFrame) -> list[Table]:
    """Rank-k variants and controls, per run and test suite."""
    return _by_run(frame, _recovery_columns, RECOVERY_DIFFERENCES)


def _recovery_columns(frame: pd.DataFrame) -> list[Column]:
    labels = {row.variant: row.label for row in records(frame)}
    columns = [
        Column("variant", lambda r: _variant(r.label), kind="word"),
        Column("role", _recovery_role, kind="word"),
        *_accuracy(frame),
        _RETENTION,
        _RECOVERY,
        Column("difference to full run [95 %]", lambda r: apart(r, "difference")),
        Column("difference to control [95 %]", lambda r: _against_control(r, labels)),
    ]
    if "checkpoint_difference" in frame:
        heading = "difference to its checkpoint [95 %]"
        columns.append(Column(heading, lambda r: apart(r, "checkpoint_difference")))
    return [*columns, _TRUNCATED]


def _variant(label: str) -> Cell:
    """A label, with the step of an early checkpoint on a line of its own."""
    words, at, step = label.partition(" at step ")
    return Cell(words, f"{at.lstrip()}{step}")


def _recovery_role(row: Any) -> str:
    roles = {"base": "start", "full run": "end", "full-update": "ceiling"}
    return roles.get(row.kind, "control" if row.kind in CONTROLS else "")


def _against_control(row: Any, labels: dict[str, str]) -> Cell:
    """The paired difference to the control of the same rank and norm, and which one that is."""
    return Cell(apart(row, "control_difference"), _variant(labels.get(row.control, "")).text)


def forecasts(frame: pd.DataFrame) -> list[Table]:
    """Forecasts per run and test suite, `last` first in each window."""
    # Per run the windows stay in the study's order; `last` moves to the front of its window.
    ordered = [
        part.sort_values("method", key=lambda method: method != "last", kind="stable")
        for _, part in groups(frame, ["run", "suite", "window"])
    ]
    if not ordered:
        return []
    return _by_run(
        pd.concat(ordered), _forecast_columns, FORECAST_DIFFERENCES, _undefined, group="window"
    )


def _forecast_columns(frame: pd.DataFrame) -> list[Column]:
    return [
        Column("window", lambda r: f"{r.window} (to {r.through})", kind="word"),
        Column("method", _method, kind="text"),
        *_accuracy(frame),
        _RETENTION,
        _RECOVERY,
        Column("difference to last [95 %]", lambda r: _stacked(r, "difference")),
        Column("difference to full run [95 %]", lambda r: _stacked(r, "full_difference")),
        Column("norm ratio", lambda r: number(r.norm_ratio, 2)),
        Column("weight error", _weight_error),
        _TRUNCATED,
        Column("steps saved", lambda r: number(r.steps_saved, 0)),
        Column("seconds saved", lambda r: number(r.seconds_saved, 0)),
    ]


def _stacked(row: Any, name: str) -> Cell:
    """A paired difference above its interval: this table is wide."""
    value, bracket, ends = apart(row, name).partition("[")
    return Cell(value.strip(), bracket + ends)


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


def _method(row: Any) -> Cell:
    """Label and options; the reason why a method is undefined stands below the table."""
    if row.undefined:
        return Cell(row.label, "undefined, see below")
    words = [f"{key} {value}" for key, value in json.loads(row.options).items()]
    if row.label != row.method:
        words.insert(0, row.method)
    return Cell(row.label, ", ".join(words))


def tasks(frame: pd.DataFrame) -> list[Table]:
    """A table per task of the suites that have several; the full run's checkpoints are left out."""
    shown = frame[frame["kind"] != "checkpoint"]
    found = []
    for (suite, task), part in groups(shown, ["suite", "task"]):
        columns = [
            Column("run", lambda r: r.run, kind="word"),
            Column("variant", lambda r: Cell(r.label, r.where), kind="word"),
            *_accuracy(part),
            _TRUNCATED,
        ]
        title = f"{suite} · {task} ({part['n'].max()} questions)"
        made = table(part, columns, title, group="run")
        found.append(replace(made, notes=tuple(_over_budget(part))))
    return found


def _accuracy(frame: pd.DataFrame) -> list[Column]:
    """Accuracy; of several samples per question, avg@k, pass@k and maj@k."""
    k = frame["samples"].iloc[0]
    if k == 1:
        return [Column("accuracy ± se", lambda r: plus_minus(r.accuracy, r.stderr))]
    return [
        Column(f"avg@{k} ± se", lambda r: plus_minus(r.accuracy, r.stderr)),
        Column(f"pass@{k} ± se", lambda r: plus_minus(r.pass_at_k, r.pass_at_k_stderr)),
        Column(f"maj@{k} ± se", lambda r: plus_minus(r.maj_at_k, r.maj_at_k_stderr)),
    ]


def _by_run(
    frame: pd.DataFrame,
    columns: Callable[[pd.DataFrame], list[Column]],
    differences: list[str],
    remarks: Callable[[pd.DataFrame], list[str]] = lambda part: [],
    group: str | None = None,
) -> list[Table]:
    """One table per run and test suite, with what is to be said of its comparisons below it."""
    names = [name for name in differences if name in frame]
    found = []
    for (run, suite), part in groups(frame, ["run", "suite"]):
        made = table(part, columns(part), f"{run} · {suite}", group)
        notes = [*remarks(part), comparisons_note(part, names), *_over_budget(part)]
        found.append(replace(made, notes=tuple(filter(None, notes))))
    return found


def _over_budget(frame: pd.DataFrame) -> list[str]:
    """What the sign for too many cut answers means, where it stands in a table."""
    return [_OVER_BUDGET] if frame["over_budget"].any() else []
