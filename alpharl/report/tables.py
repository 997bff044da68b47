"""Frames to the rows and cells that the page shows. Rounding happens here and nowhere earlier."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from alpharl.report.frames import groups, records
from alpharl.report.spectrum import TOPS
from alpharl.report.words import (
    DASH,
    interval,
    number,
    plus_minus,
    recovered,
    signed,
    verdict,
)
from alpharl.study.recipes import CONTROLS


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and a smaller second line."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its heading, how a row is shown in it, and how it is set."""

    heading: str
    show: Callable[[Any], str | Cell]
    kind: Literal["number", "word", "text"] = "number"
    """Numbers stand right; words stand left on one line; text wraps."""


@dataclass(frozen=True)
class Table:
    """A table as the page shows it.

    In a grouped table `spans` says at which rows a group starts and how many rows it has; the first
    column's cell spans them, and the other rows have no such cell. `notes` go below the table.
    """

    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    spans: dict[int, int]
    notes: tuple[str, ...] = ()


def table(
    frame: pd.DataFrame, columns: list[Column], title: str = "", group: str | None = None
) -> Table:
    """Lay out a frame; adjacent rows of one `group` share the first column's cell."""
    rows = [[_cell(column.show(row)) for column in columns] for row in records(frame)]
    spans = _spans(frame[group].tolist()) if group is not None else {}
    return Table(title, columns, rows, spans)


def _spans(values: list[Any]) -> dict[int, int]:
    """Start and length of each stretch of equal values."""
    lengths = [len(list(same)) for _, same in itertools.groupby(values)]
    starts = itertools.accumulate(lengths, initial=0)
    return dict(zip(starts, lengths, strict=False))


def _cell(shown: str | Cell) -> Cell:
    return shown if isinstance(shown, Cell) else Cell(shown)


def by_run(frame: pd.DataFrame, columns: list[Column], group: str | None = None) -> list[Table]:
    """One table per run and test suite."""
    return [
        table(part, columns, f"{run} · {suite}", group)
        for (run, suite), part in groups(frame, ["run", "suite"])
    ]


_ACCURACY = Column("accuracy ± se", lambda r: plus_minus(r.accuracy, r.stderr))
_RETENTION = Column("retention ± se", lambda r: plus_minus(r.retention, r.retention_se))
_RECOVERY = Column("gain recovery ± se", recovered)
_TRUNCATED = Column("cut off", lambda r: number(r.truncated, 2))


def gains(frame: pd.DataFrame) -> Table:
    """Base, full run and gain, per run and suite."""
    columns = [
        Column("run", lambda r: r.run, kind="word"),
        Column("suite", lambda r: Cell(r.suite, "" if r.suite == r.role else r.role), kind="word"),
        Column("questions", lambda r: str(r.n)),
        Column("base ± se", lambda r: plus_minus(r.base, r.base_stderr)),
        Column("full run ± se", lambda r: plus_minus(r.full, r.full_stderr)),
        Column("full run's step", lambda r: str(r.last_step)),
        Column("gain ± se (paired)", lambda r: plus_minus(r.gain, r.gain_se)),
    ]
    return table(frame, columns, group="run")


def recovery(frame: pd.DataFrame) -> list[Table]:
    """Rank-k variants and controls, per run and test suite."""
    labels = {(row.run, row.variant): row.label for row in records(frame)}
    columns = [
        Column("variant", lambda r: _variant(r.label), kind="word"),
        Column("role", _recovery_role, kind="word"),
        _ACCURACY,
        _RETENTION,
        _RECOVERY,
        Column("difference to full run [95 %]", lambda r: _difference(r, r.kind == "full run")),
        Column("difference to control [95 %]", lambda r: _against(r, labels)),
        _TRUNCATED,
    ]
    return by_run(frame, columns)


def _variant(label: str) -> Cell:
    """A label, with the step of an early checkpoint on a line of its own."""
    words, at, step = label.partition(" at step ")
    return Cell(words, f"{at.lstrip()}{step}")


def _recovery_role(row: Any) -> str:
    roles = {"base": "start", "full run": "end", "full-update": "ceiling"}
    return roles.get(row.kind, "control" if row.kind in CONTROLS else "")


def _against(row: Any, labels: dict[tuple[str, str], str]) -> Cell:
    """The paired difference to the control of the same rank and norm, and which one that is."""
    low, high = row.control_difference_low, row.control_difference_high
    control = _variant(labels.get((row.run, row.control), ""))
    return Cell(_apart(row.control_difference, low, high), control.text)


def forecasts(frame: pd.DataFrame) -> list[Table]:
    """Forecasts per run and test suite, `last` first in each window."""
    columns = [
        Column("window", lambda r: f"{r.window} (to {r.through})", kind="word"),
        Column("method", _method, kind="word"),
        _ACCURACY,
        _RETENTION,
        _RECOVERY,
        Column("difference to last [95 %]", lambda r: _difference(r, r.method == "last")),
        Column("norm ratio", lambda r: number(r.norm_ratio, 2)),
        Column("weight error", _weight_error),
        _TRUNCATED,
        Column("steps saved", lambda r: number(r.steps_saved, 0)),
        Column("seconds saved", lambda r: number(r.seconds_saved, 0)),
    ]
    # Per run the windows stay in the study's order; `last` moves to the front of its window.
    part_key = ["run", "suite", "window"]
    ordered = [
        part.sort_values("method", key=lambda method: method != "last", kind="stable")
        for _, part in groups(frame, part_key)
    ]
    if not ordered:
        return []
    return [
        replace(made, notes=tuple(_undefined(part)))
        for made, (_, part) in zip(
            by_run(pd.concat(ordered), columns, group="window"),
            groups(frame, ["run", "suite"]),
            strict=True,
        )
    ]


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


def _difference(row: Any, reference: bool) -> str:
    """A paired difference with its 95 % interval, and a sign where that excludes 0."""
    if reference:
        return DASH
    return _apart(row.difference, row.difference_low, row.difference_high)


def _apart(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return DASH
    return f"{verdict(low, high)} {signed(value)} {interval(low, high)}".strip()


def spectrum(frame: pd.DataFrame) -> Table:
    """Cumulative shares of squared norm, each beside its null."""
    columns = [
        Column("run", lambda r: r.run, kind="word"),
        Column("step", lambda r: str(r.step)),
        Column("matrices", lambda r: str(r.matrices)),
    ]
    for k in TOPS:
        columns += [_share(f"top-{k} share", f"top_{k}"), _share("Gaussian null", f"null_{k}")]
    span = Column("top-1, lowest to highest", _span)
    return table(frame, [*columns, span])


def _span(row: Any) -> str:
    return f"{number(row.top_1_min)} to {number(row.top_1_max)}"


def _share(heading: str, name: str) -> Column:
    return Column(heading, lambda row: number(getattr(row, name)))


def stages(frame: pd.DataFrame) -> Table:
    """Cost per stage."""
    return table(frame, [Column("stage", lambda r: r.stage, kind="word"), *_COST])


def runs(frame: pd.DataFrame) -> Table:
    """Cost per run and stage."""
    run = Column("run", lambda r: r.run or "shared by the runs", kind="word")
    stage = Column("stage", lambda r: r.stage, kind="word")
    return table(frame, [run, stage, *_COST], group="run")


_COST = [
    Column("jobs", lambda r: str(r.jobs)),
    Column("seconds", lambda r: number(r.seconds, 1)),
    Column("CPU seconds", lambda r: number(r.cpu_seconds, 1)),
    Column("peak memory, MB", lambda r: number(r.memory_mb, 0)),
]


def savings(frame: pd.DataFrame) -> list[Table]:
    """What makes up each forecast's seconds saved, per run whose training was measured."""
    columns = [
        Column("window", lambda r: r.window, kind="word"),
        Column("method", lambda r: r.label, kind="word"),
        Column("training saved", lambda r: number(r.seconds_training, 1)),
        Column("factors", lambda r: _spent(r.seconds_factors)),
        Column("gram", lambda r: _spent(r.seconds_gram)),
        Column("validation", lambda r: _spent(r.seconds_validation)),
        Column("forecast", lambda r: _spent(r.seconds_forecast)),
        Column("seconds saved", lambda r: number(r.seconds_saved, 1)),
    ]
    measured = frame[frame["seconds_training"].notna()]
    once = measured.drop_duplicates(["run", "window", "label"])
    return [table(part, columns, run, group="window") for run, part in groups(once, "run")]


def _spent(seconds: float) -> str:
    """Seconds spent, as a deduction; nothing where the method does not need it."""
    return "" if seconds == 0 else number(-seconds, 1)
