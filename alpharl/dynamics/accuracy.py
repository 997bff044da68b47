"""Validation accuracy per step, as people hand it over. Torch-free."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from alpharl.errors import MethodError

Scores = str | Path | Mapping[int, float]
"""Validation accuracy per step: a mapping, or a CSV file with the columns `step,accuracy`."""


def accuracy_of(scores: Scores | None) -> dict[int, float]:
    """Validation accuracy per step, increasing; empty where nothing is known.

    Raises:
        MethodError: as `read_accuracy`, or the mapping holds something else.
    """
    if isinstance(scores, str | Path):
        return read_accuracy(Path(scores))
    try:
        return {int(step): float(accuracy) for step, accuracy in sorted((scores or {}).items())}
    except (AttributeError, TypeError, ValueError) as error:
        raise MethodError(f"scores: expected an accuracy for each step ({error!r})") from None


def read_accuracy(path: Path) -> dict[int, float]:
    """A CSV table with the columns `step,accuracy` as a mapping; further columns are ignored.

    Raises:
        MethodError: no such file, a column is lacking, or a value is no number.
    """
    try:
        with path.open(newline="") as file:
            return {int(row["step"]): float(row["accuracy"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise MethodError(
            f"{path}: expected a CSV with columns step,accuracy ({error!r})"
        ) from None
