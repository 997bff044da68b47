"""Reads CSV tables as pandas, spreadsheets and W&B write them: every cell as text, with its row."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alpharl.errors import TableError

_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Row:
    """A row that is not blank."""

    number: int
    """As spreadsheets and editors count: the file's first line is row 1."""
    cells: Sequence[str]
    """One for each column, without space around it."""


@dataclass(frozen=True)
class CsvTable:
    """The header of a file and its rows."""

    path: Path
    columns: list[str]
    """As the header has them, without space around them."""
    rows: list[Row]

    def column(self, name: str) -> int | None:
        """Index of a column, whatever its case; None where there is none.

        Raises:
            TableError: two columns have the name.
        """
        same = [i for i, column in enumerate(self.columns) if column.casefold() == name]
        if len(same) > 1:
            raise TableError(
                f"{self.path}: found {len(same)} columns named '{name}', expected one; rename the "
                "others"
            )
        return same[0] if same else None


def read_csv_table(path: Path) -> CsvTable:
    """A table with a header, separated by commas, semicolons or tabs.

    The text is UTF-8 or UTF-16, with or without the byte order marks that Excel writes. Blank rows
    are left out.

    Raises:
        TableError: the file cannot be read, is no text, has no header, or a row has more or fewer
            fields than the header.
    """
    lines = list(io.StringIO(_text(path), newline=None))
    delimiter, before = _delimiter(lines)
    try:
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
        read = [Row(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise TableError(
            f"{path}: found no table ({error}), expected a CSV file; export it again"
        ) from None
    filled = [row for row in read if any(row.cells)][before:]
    if not filled:
        raise TableError(f"{path}: found no header, expected a CSV file with columns and rows")
    header, *rows = filled
    return CsvTable(path, list(header.cells), [_fitted(path, row, header.cells) for row in rows])


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TableError(
            f"{path}: found no table that can be read ({error.strerror}); check the path"
        ) from None
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise TableError(
            f"{path}: found bytes that are no text, expected a CSV file in UTF-8; save it as that"
        )
    return text


def _delimiter(lines: list[str]) -> tuple[str, int]:
    """What separates fields, and in how many rows the header comes.

    Excel reads and writes a first line such as `sep=;`, which says it. Elsewhere, it is what
    divides the header into the most fields.
    """
    first = next((line.strip(" \n") for line in lines if line.strip()), "")
    told = re.fullmatch(r'"?sep=(.)"?', first)
    if told:
        return told[1], 1
    fields = {d: len(next(csv.reader([first], delimiter=d), [])) for d in _DELIMITERS}
    return max(_DELIMITERS, key=fields.__getitem__), 0


def _fitted(path: Path, row: Row, header: Sequence[str]) -> Row:
    """A row with a cell for each column; more may follow if they are blank.

    Raises:
        TableError: it has fewer, or more. Nothing is guessed, because a decimal comma makes two
            fields of one number.
    """
    if len(row.cells) < len(header):
        raise TableError(
            f"{path}: row {row.number}: found {len(row.cells)} of the header's {len(header)} "
            "fields, expected all; fill the row in, or remove it"
        )
    if any(row.cells[len(header) :]):
        raise TableError(
            f"{path}: row {row.number}: found {len(row.cells)} fields, expected {len(header)} as "
            "the header has; write decimals with a point, or put a field with a separator in it "
            "into quotes"
        )
    return Row(row.number, row.cells[: len(header)])
