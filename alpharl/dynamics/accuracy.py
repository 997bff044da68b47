"""Validation accuracy per step, as people and programs hand it over. Torch-free."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsFloat

from alpharl.csv_table import CsvTable, read_csv_table
from alpharl.errors import TableError
from alpharl.steps import read_step
from alpharl.sums import require_summed

Scores = str | Path | Mapping[int, float]
"""Validation accuracy per step: a mapping, or a CSV file with the columns `step` and `accuracy`."""
_NUMBER = re.compile(r"[-+]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][-+]?[0-9]+)?")
_STEP_COLUMN = re.compile(r"step|global[_ ]step|.*/global_step")
_ACCURACY_COLUMN = re.compile(r"((eval|val|valid|validation|dev)[_/ .-])?acc(uracy)?")


@dataclass(frozen=True)
class _Entry:
    """A step and its accuracy, not read yet."""

    table: str
    """What they are part of, for an error."""
    at: str
    """Where they stand there."""
    step: object
    accuracy: object

    @property
    def has_sign(self) -> bool:
        """Whether the accuracy says that it is a percentage."""
        return isinstance(self.accuracy, str) and self.accuracy.endswith("%")


def accuracy_of(scores: Scores | None, known: Collection[int] | None = None) -> dict[int, float]:
    """Validation accuracy per step, increasing; empty where there are no scores.

    Args:
        scores: a mapping, or a CSV file, see `read_accuracy`.
        known: steps that there may be a row of, next to 0; default: any.

    Raises:
        TableError: as `read_accuracy`; of a mapping, the line names the step.
    """
    if scores is None:
        return {}
    if isinstance(scores, str | Path):
        return read_accuracy(Path(scores), known)
    try:
        pairs = list(scores.items())
    except AttributeError:
        raise TableError(
            f"scores: found {type(scores).__name__}, expected a mapping from steps to accuracies, "
            "or a CSV file"
        ) from None
    return _checked([_Entry("scores", f"step {s!r}", s, a) for s, a in pairs], known)


def read_accuracy(path: Path, known: Collection[int] | None = None) -> dict[int, float]:
    """A CSV table with the columns `step` and `accuracy`; further columns are ignored.

    Separators, encodings and byte order marks are those of pandas, spreadsheets and W&B, and so are
    names of columns such as `Step` and `run-7 - eval_accuracy`, where only one can be meant. An
    accuracy is a share from 0 to 1, or a percentage with its sign: `0.45`, `0,45` or `45%`.

    Args:
        path: the file.
        known: steps that there may be a row of, next to 0; default: any.

    Raises:
        TableError: one line that names file and row, what stands there and what is expected: an
            accuracy or a step that is none, a step that stands twice or is not known; or no such
            file or columns.
        ArtefactError: `alpharl accuracy` wrote it, and it has changed since.
    """
    if path.is_file():
        require_summed(path, "alpharl accuracy")
    table = read_csv_table(path)
    step, accuracy = _step_column(table), _accuracy_column(table)
    entries = [
        _Entry(str(path), f"row {row.number}", row.cells[step], row.cells[accuracy])
        for row in table.rows
    ]
    if not entries:
        raise TableError(f"{path}: found no rows, expected steps with their accuracies")
    return _checked(entries, known)


def _step_column(table: CsvTable) -> int:
    exact = table.column("step")
    named = [i for i, name in enumerate(table.columns) if _STEP_COLUMN.fullmatch(name.casefold())]
    return _only(table, "step", named if exact is None or len(named) > 1 else [exact])


def _accuracy_column(table: CsvTable) -> int:
    exact = table.column("accuracy")
    return _only(table, "accuracy", _accuracies(table.columns) if exact is None else [exact])


def _accuracies(columns: Iterable[str]) -> list[int]:
    """Columns that may be meant; W&B puts the name of the run before that of the metric."""
    metrics = [name.casefold().rpartition(" - ")[2] for name in columns]
    return [i for i, metric in enumerate(metrics) if _ACCURACY_COLUMN.fullmatch(metric)]


def _only(table: CsvTable, name: str, indices: Sequence[int]) -> int:
    if len(indices) == 1:
        return indices[0]
    which = " or ".join(f"'{table.columns[i]}'" for i in indices)
    columns = ", ".join(f"'{column}'" for column in table.columns)
    raise TableError(
        f"{table.path}: found columns {columns}, expected 'step' and 'accuracy'; rename the one "
        f"that holds the {name}" + (f", {which}" if which else "")
    )


def _checked(entries: Sequence[_Entry], known: Collection[int] | None) -> dict[int, float]:
    """The accuracies by step, increasing.

    Raises:
        TableError: see `read_accuracy`.
    """
    accuracies: dict[int, float] = {}
    rows: dict[int, str] = {}
    in_percent = any(entry.has_sign for entry in entries)
    for entry in entries:
        try:
            step = read_step(entry.step)
            if step in rows:
                raise ValueError(f"found step {step} again, after {rows[step]}; remove one")
            if in_percent and not entry.has_sign:
                raise ValueError(f"found accuracy {entry.accuracy}, expected a % as elsewhere")
            accuracies[step], rows[step] = _read_share(entry.accuracy), entry.at
            _require_known(step, known)
        except ValueError as error:
            raise TableError(f"{entry.table}: {entry.at}: {error}") from None
    return dict(sorted(accuracies.items()))


def _read_share(value: object) -> float:
    """An accuracy from 0 to 1.

    Raises:
        ValueError: found and expected.
    """
    number, percent = _number(value), isinstance(value, str) and value.endswith("%")
    share = number / 100 if percent else number
    if 0 <= share <= 1:
        return share
    hint = ""
    if 1 < number <= 100 and not percent:
        hint = f"; if it is percent, write {number / 100:g} or {number:g}%"
    found = f"accuracy {value}" if value != "" else "no accuracy"
    raise ValueError(f"found {found}, expected a share from 0 to 1{hint}")


def _number(value: object) -> float:
    """The number that a value or a text stands for, with or without `%`; nan where it is none."""
    if isinstance(value, str):
        text = value.removesuffix("%").rstrip()
        return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else math.nan
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):  # an array of several
        return math.nan


def _require_known(step: int, known: Collection[int] | None) -> None:
    """Refuse a step that no checkpoint has: it may be a wrong number for one that has none.

    Raises:
        ValueError: found and expected.
    """
    if known is None or step == 0 or step in known:
        return
    steps = sorted(known)
    shown = ", ".join(map(str, steps if len(steps) <= 6 else [*steps[:3], "...", *steps[-2:]]))
    raise ValueError(
        f"found step {step}, expected 0 or the step of a checkpoint ({shown}); correct it, or "
        "leave it out"
    )
