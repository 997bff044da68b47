"""Frames to the rows and cells that the page shows. Rounding happens here and nowhere earlier."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from alpharl.report.frames import groups, records
from alpharl.report.spectrum import TOPS
from alpharl.report.words import number


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
