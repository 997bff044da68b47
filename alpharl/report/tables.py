"""Frames to the rows and cells that the page shows. Rounding happens here and nowhere earlier."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from alpharl.report.frames import groups, records
from alpharl.report.linearity import KEEP_LAST, MEASURES, NULLS, Measure
from alpharl.report.spectrum import TOPS
from alpharl.report.words import (
    DASH,
    interval,
    number,
    plus_minus,
    recovered,
    signed,
    variant_label,
    verdict,
)


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and a smaller second line."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its heading, how a row is shown in it, and whether it holds words."""

    heading: str
    show: Callable[[Any], str | Cell]
    words: bool = False


@dataclass(frozen=True)
class Table:
    """A table as the page shows it; `breaks` are rows that start a new group."""

    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    breaks: frozenset[int] = field(default_factory=frozenset)


def table(
    frame: pd.DataFrame, columns: list[Column], title: str = "", group: str | None = None
) -> Table:
    """Lay out a frame; a line separates rows whose `group` column changes."""
    rows = [[_cell(column.show(row)) for column in columns] for row in records(frame)]
    breaks: frozenset[int] = frozenset()
    if group is not None:
        values = frame[group].tolist()
        breaks = frozenset(i for i in range(1, len(values)) if values[i] != values[i - 1])
    return Table(title, columns, rows, breaks)


def _cell(shown: str | Cell) -> Cell:
    return shown if isinstance(shown, Cell) else Cell(shown)


def by_run(frame: pd.DataFrame, columns: list[Column], group: str | None = None) -> list[Table]:
    """One table per run and test suite."""
    return [
        table(part, columns, f"{run} · {suite}", group)
        for (run, suite), part in groups(frame, ["run", "suite"])
    ]


_ACCURACY = Column("accuracy ± se", lambda r: plus_minus(r.accuracy, r.stderr))
_RETENTION = Column("retention ± se", lambda r: plus_minus(r.retention, r.retention_se))
_RECOVERY = Column("gain recovery ± se", recovered)
_TRUNCATED = Column("cut off", lambda r: number(r.truncated, 2))


def gains(frame: pd.DataFrame) -> Table:
    """Base, full run and gain, per run and suite."""
    columns = [
        Column("run", lambda r: r.run, words=True),
        Column("suite", lambda r: Cell(r.suite, "" if r.suite == r.role else r.role), words=True),
        Column("questions", lambda r: str(r.n)),
        Column("base ± se", lambda r: plus_minus(r.base, r.base_stderr)),
        Column("full run ± se", lambda r: plus_minus(r.full, r.full_stderr)),
        Column("full run's step", lambda r: str(r.last_step)),
        Column("gain ± se (paired)", lambda r: plus_minus(r.gain, r.gain_se)),
    ]
    return table(frame, columns, group="run")


def recovery(frame: pd.DataFrame) -> list[Table]:
    """Rank-k variants and controls, per run and test suite."""
    columns = [
        Column("variant", lambda r: variant_label(r.kind, r.rank), words=True),
        Column("role", _recovery_role, words=True),
        _ACCURACY,
        _RETENTION,
        _RECOVERY,
        Column("difference to full run", lambda r: _difference(r, r.kind == "full run")),
        Column("95 % interval", lambda r: _interval(r, r.kind == "full run")),
        _TRUNCATED,
    ]
    return by_run(frame, columns)


def _recovery_role(row: Any) -> str:
    roles = {"base": "start", "full run": "end", "full-update": "ceiling"}
    return roles.get(row.kind, "control" if row.kind in ("random", "without") else "")


def forecasts(frame: pd.DataFrame) -> list[Table]:
    """Forecasts per run and test suite, `last` first in each window."""
    columns = [
        Column("window", lambda r: Cell(r.window, f"to step {r.through}"), words=True),
        Column("method", _method, words=True),
        _ACCURACY,
        _RETENTION,
        _RECOVERY,
        Column("difference to last", lambda r: _difference(r, r.method == "last")),
        Column("95 % interval", lambda r: _interval(r, r.method == "last")),
        Column("norm ratio", lambda r: number(r.norm_ratio, 2)),
        _TRUNCATED,
        Column("steps saved", lambda r: str(r.steps_saved)),
        Column("seconds saved", lambda r: number(r.seconds_saved, 0)),
    ]
    # Per run the windows stay in the study's order; `last` moves to the front of its window.
    part_key = ["run", "suite", "window"]
    ordered = [
        part.sort_values("method", key=lambda method: method != "last", kind="stable")
        for _, part in groups(frame, part_key)
    ]
    return by_run(pd.concat(ordered), columns, group="window") if ordered else []


def _method(row: Any) -> Cell:
    """Label, with its options, or the reason why the method is undefined here."""
    if row.undefined is not None:
        return Cell(row.label, f"undefined: {row.undefined}")
    options = json.loads(row.options)
    words = [f"{key} {value}" for key, value in options.items()]
    if row.label != row.method:
        words.insert(0, row.method)
    return Cell(row.label, ", ".join(words))


def _difference(row: Any, reference: bool) -> str:
    if reference or math.isnan(row.difference):
        return DASH
    return f"{verdict(row.difference_low, row.difference_high)} {signed(row.difference)}".strip()


def _interval(row: Any, reference: bool) -> str:
    return DASH if reference else interval(row.difference_low, row.difference_high)


def spectrum(frame: pd.DataFrame) -> Table:
    """Cumulative shares of squared norm, each beside its null."""
    columns = [
        Column("run", lambda r: r.run, words=True),
        Column("step", lambda r: str(r.step)),
        Column("matrices", lambda r: str(r.matrices)),
        Column("range of top-1", lambda r: f"{number(r.top_1_min)} – {number(r.top_1_max)}"),
    ]
    for k in TOPS:
        columns += [_share(f"top-{k} share", f"top_{k}"), _share("Gaussian null", f"null_{k}")]
    return table(frame, columns)


def _share(heading: str, name: str) -> Column:
    return Column(heading, lambda row: number(getattr(row, name)))


def linearity(frame: pd.DataFrame) -> list[Table]:
    """Trajectory fits beside their nulls, per run."""
    columns = [
        Column("measure", lambda r: Cell(r.measure, _measure(r.measure).words), words=True),
        Column("mean", lambda r: number(r.value)),
        Column("null", lambda r: Cell(r.null, NULLS.get(r.null, "")), words=True),
        Column("null median", lambda r: number(r.null_q50)),
        Column("null 95 %", lambda r: DASH if r.null == KEEP_LAST else number(r.null_q95)),
        Column("modules", lambda r: str(r.modules)),
        Column("beyond null", lambda r: number(r.beyond, 2)),
        Column("reading", lambda r: r.reading, words=True),
    ]
    return [table(part, columns, run, group="measure") for run, part in groups(frame, "run")]


def _measure(name: str) -> Measure:
    return MEASURES.get(name, Measure(""))


def stages(frame: pd.DataFrame) -> Table:
    """Cost per stage."""
    return table(frame, [Column("stage", lambda r: r.stage, words=True), *_COST])


def runs(frame: pd.DataFrame) -> Table:
    """Cost per run and stage."""
    run = Column("run", lambda r: r.run or "shared by the runs", words=True)
    stage = Column("stage", lambda r: r.stage, words=True)
    return table(frame, [run, stage, *_COST], group="run")


_COST = [
    Column("jobs", lambda r: str(r.jobs)),
    Column("seconds", lambda r: number(r.seconds, 0)),
    Column("CPU seconds", lambda r: number(r.cpu_seconds, 0)),
    Column("peak memory, MB", lambda r: number(r.memory_mb, 0)),
]


def savings(frame: pd.DataFrame) -> list[Table]:
    """What makes up each forecast's seconds saved, per run."""
    columns = [
        Column("window", lambda r: r.window, words=True),
        Column("method", lambda r: r.label, words=True),
        Column("training saved", lambda r: number(r.seconds_training, 1)),
        Column("factors", lambda r: _spent(r.seconds_factors)),
        Column("gram", lambda r: _spent(r.seconds_gram)),
        Column("validation", lambda r: _spent(r.seconds_validation)),
        Column("forecast", lambda r: _spent(r.seconds_forecast)),
        Column("seconds saved", lambda r: number(r.seconds_saved, 1)),
    ]
    once = frame.drop_duplicates(["run", "window", "label"])
    return [table(part, columns, run, group="window") for run, part in groups(once, "run")]


def _spent(seconds: float) -> str:
    """Seconds spent, as a deduction; nothing where the method does not need it."""
    return "" if seconds == 0 else number(-seconds, 1)
