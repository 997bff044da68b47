"""What verbs write, and how they say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpharl.checkpoints.files import write_atomic
from alpharl.verbs.result import Table, Written

if TYPE_CHECKING:
    import pandas as pd


class WrittenQuestions(Written):
    """Files of questions that a verb wrote."""

    questions: int
    """Number of questions."""

    def blocks(self) -> Iterator[str | Table]:
        """A line each, and the number."""
        yield from super().blocks()
        yield f"{self.questions} questions"


def write_table(table: pd.DataFrame, out: Path) -> list[str]:
    """Write a table as Parquet, and as CSV next to it; the paths of both."""
    twin = out.with_suffix(".csv")
    write_csv(table, twin)
    write_atomic(out, lambda p: table.to_parquet(p, index=False))
    return [str(out), str(twin)]


def write_csv(table: pd.DataFrame, out: Path) -> None:
    """Write a table as CSV."""
    write_atomic(out, lambda p: table.to_csv(p, index=False))


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table by column, as plain values; None where a number is not defined."""
    plain = table.astype(object)
    rows: list[Any] = plain.where(plain.notna(), None).to_dict("records")
    return rows
