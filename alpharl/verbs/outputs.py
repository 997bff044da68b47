"""What verbs write, and how they say so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpharl.errors import StudyError
from alpharl.sums import write_summed
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


def require_files(*files: Path) -> None:
    """Refuse files that could not be written, before anything is computed for them.

    Raises:
        StudyError: a folder stands there, or a file where a folder is needed.
    """
    for file in files:
        if file.is_dir():
            raise StudyError(f"{file}: found a folder, expected a file to write; name one in it")
        there = next(parent for parent in file.absolute().parents if parent.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise StudyError(f"{file}: cannot be written, for {there} is no folder to write to")


def require_table(out: Path) -> None:
    """Refuse a name for a Parquet table whose CSV twin would have the same, and as above.

    Raises:
        StudyError: the name ends in `.csv`, or it cannot be written.
    """
    if out.suffix == ".csv":
        raise StudyError(
            f"{out}: found a CSV file's name, expected one for Parquet, such as "
            f"{out.with_suffix('.parquet')}; the CSV file is written next to it"
        )
    require_files(out)


def write_table(table: pd.DataFrame, out: Path) -> list[str]:
    """Write a table as Parquet, and as CSV next to it; the paths of both."""
    twin = out.with_suffix(".csv")
    write_summed({
        out: lambda p: table.to_parquet(p, index=False),
        twin: lambda p: table.to_csv(p, index=False),
    })  # fmt: skip
    return [str(out), str(twin)]


def write_csv(table: pd.DataFrame, out: Path) -> None:
    """Write a table as CSV."""
    write_summed({out: lambda p: table.to_csv(p, index=False)})


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table by column, as plain values; None where a number is not defined."""
    plain = table.astype(object)
    rows: list[Any] = plain.where(plain.notna(), None).to_dict("records")
    return rows
