"""Frames to the rows and cells that the page shows. Rounding happens here and nowhere earlier."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from alpharl.report.frames import records


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
