"""The contract of a measure: a number that describes an update, per tensor or matrix, and its null.

A subclass holds the measure's options as fields and, as class attributes, all that the workflow and
the report have to know of it. Whoever reads a study imports all measures: what computes with
torch, or makes tables with pandas, imports it inside a function.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from alpharl.bounds import Seed
from alpharl.frozen import Frozen

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from alpharl.checkpoints.reader import ModelReader
    from alpharl.checkpoints.stream import Streamer
    from alpharl.spectra.lowrank import Factors
    from alpharl.spectra.scope import Matrix

Input = Literal["weights", "factors", "gram"]
Row = dict[str, Any]


@dataclass(frozen=True)
class TensorPath:
    """One tensor of a run: the base's, and those of the checkpoints that are measured."""

    name: str
    size: int
    """Number of entries."""
    base: ModelReader
    checkpoints: Mapping[int, ModelReader]
    """By step, increasing; nothing is read before it is asked for."""
    stream: Streamer
    """Reads tensors in chunks, several at a time, on the processor."""
    matrices: Sequence[Matrix]
    """The matrices in scope that the tensor holds: several where it is fused, or none."""
    factors: Mapping[int, Mapping[str, Factors]]
    """Per step, by matrix; empty unless the measure reads factors."""
    gram: np.ndarray | None
    """(T, T) inner products of the tensor's updates at all of the run's T checkpoints, float64;
    None unless the measure reads the gram."""


class Measure(Frozen, ABC):
    """One measure: a subclass holds its options as fields, and what is the same for all uses."""

    version: ClassVar[int]
    """Raised when its numbers would change."""
    reads: ClassVar[frozenset[Input]] = frozenset({"weights"})
    """What it is computed from."""
    operations: ClassVar[float]
    """Floating point operations per entry and step, about; jobs ask for time by it."""

    title: ClassVar[str]
    """Heading in the report."""
    text: ClassVar[str]
    """What it says and how to read it: inline HTML."""
    null: ClassVar[str]
    """One sentence: what would be seen if there were nothing."""
    note: ClassVar[str] = ""
    """What stands below its tables in small print."""

    columns: ClassVar[Mapping[str, str]]
    """The numbers of `summary` that the report shows, with their headings."""
    nulls: ClassVar[Mapping[str, str]]
    """Each measured column's null: what the same number is without any signal."""
    null_name: ClassVar[str] = "null"
    """Stands before a null that the report shows below its number."""
    labels: ClassVar[Mapping[str, str]] = {"step": "step"}
    """The columns of `summary` that tell its rows apart, with their headings."""
    counts: ClassVar[frozenset[str]] = frozenset()
    """Those of `columns` that are whole numbers."""
    compared: ClassVar[Mapping[str, str]] = {}
    """Columns of `summary` by which the report compares algorithms, with their names there; only of
    measures that have one row for each step."""

    seed: Seed = 0
    """Seed of its null."""

    def steps(self, saved: Sequence[int]) -> list[int]:
        """The checkpoints that are measured, of those that are saved; increasing."""
        return [saved[-1]]

    @abstractmethod
    def rows(self, tensor: TensorPath) -> Iterable[Row]:
        """The rows that one tensor adds to the table.

        Raises:
            CheckpointError: a value is not finite.
        """

    def table(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The measure's table, made of the rows of all tensors; by default these."""
        return rows

    @abstractmethod
    def summary(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table in brief, as the report shows it: by step, or by module at the last step."""

    def remark(self, summary: pd.DataFrame) -> str:
        """A sentence on one run's summary that stands below it; empty for none."""
        return ""


def last_step(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last step, of a summary by step; else all."""
    return summary[summary["step"] == summary["step"].max()] if "step" in summary else summary
