"""What a verb prints: text for people, or the same as JSON."""

from __future__ import annotations

import math
import sys
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alpharl.frozen import Frozen
from alpharl.progress import is_terminal

if TYPE_CHECKING:
    from rich.table import Table as Grid


@dataclass(frozen=True)
class Table:
    """Rows under columns, with a title."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    def texts(self) -> list[list[str]]:
        """The cells as people read them."""
        return [[_text(cell) for cell in row] for row in self.rows]

    def lines(self) -> Iterator[str]:
        """Plain text: numbers flush right, words flush left."""
        yield from [self.title] if self.title else []
        cells = [[*self.columns], *self.texts()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        right = [is_number(row) for row in zip(*self.rows, strict=True)]
        for row in cells:
            aligned = [
                cell.rjust(width) if number else cell.ljust(width)
                for cell, width, number in zip(
                    row, widths, right or [False] * len(row), strict=True
                )
            ]
            yield "  ".join(aligned).rstrip()


class Result(Frozen):
    """What a verb found out or wrote. Its fields are the JSON, their docstrings its schema."""

    @property
    def exit_status(self) -> int:
        """What the process ends with."""
        return 0

    @abstractmethod
    def blocks(self) -> Iterable[str | Table]:
        """What people read: lines and tables."""


class Written(Result):
    """Files and folders that a verb wrote."""

    written: list[str]
    """Their paths."""

    def blocks(self) -> Iterator[str | Table]:
        """A line each."""
        yield from (f"wrote {path}" for path in self.written)


def show(result: Result, as_json: bool) -> None:
    """Print a result to standard output: JSON, or text, with colour at a terminal."""
    if as_json:
        print(result.model_dump_json(indent=1))
    elif is_terminal(1):
        _show_in_colour(result.blocks())
    else:
        for block in result.blocks():
            print(block if isinstance(block, str) else "\n".join(block.lines()))
    sys.stdout.flush()


def _show_in_colour(blocks: Iterable[str | Table]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for block in blocks:
        if isinstance(block, str):
            console.print(Text(block), soft_wrap=True)
            continue
        grid = _grid(block)
        if console.measure(grid, options=console.options.update(max_width=10_000)).maximum <= (
            console.width
        ):
            console.print(grid)
        else:
            # A frame would cut numbers off: a line that wraps keeps them.
            console.print(Text("\n".join(block.lines())), soft_wrap=True)


def _grid(table: Table) -> Grid:
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(title=Text(table.title), title_justify="left", header_style="bold")
    cells = [*zip(*table.rows, strict=True)] or [()] * len(table.columns)
    for name, column in zip(table.columns, cells, strict=True):
        grid.add_column(Text(name), justify="right" if is_number(column) else "left", no_wrap=True)
    for row in table.texts():
        grid.add_row(*map(Text, row))
    return grid


def is_number(cells: Sequence[object]) -> bool:
    """Whether a column holds numbers, some of which may be missing."""
    return all(cell is None or isinstance(cell, int | float) for cell in cells)


def _text(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "-"
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return str(cell)
