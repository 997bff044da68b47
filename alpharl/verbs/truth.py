"""Compare forecast weights with the checkpoints that training reached.

Each forecast's update stands next to the trained one of its target step, per matrix and over all
matrices: the cosine between them, the ratio of their norms, and the error relative to that of the
window's last weights, where 1 is as good as keeping these and below 1 is better.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from alpharl.checkpoints.sources import at_steps, find_steps
from alpharl.errors import StudyError
from alpharl.frozen import Frozen
from alpharl.verbs import numbers
from alpharl.verbs.inputs import paths_at
from alpharl.verbs.outputs import records, write_table
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputTable
from alpharl.verbs.result import Result, Table

EXAMPLE = (
    "alpharl truth --variant forecast --target 'runs/foo/checkpoint-{step}' "
    "--gram gram.safetensors --out truth.parquet"
)


class Comparison(Frozen):
    """A forecast next to the checkpoint that it forecasts, over all projection matrices."""

    forecast: str
    """Name of the forecast's folder."""
    target_step: int
    """The step that it forecasts."""
    cosine: float | None
    """Cosine between the forecast update and the trained one; null where one of them is zero."""
    norm_ratio: float | None
    """Norm of the forecast update over that of the trained one."""
    relative_error: float | None
    """Distance to the trained weights over that of the window's last weights."""


class Truth(Result):
    """How far forecasts are from the weights that were trained."""

    comparisons: list[Comparison]
    """One per forecast; a forecast that is undefined or of logits has no weights and no row."""
    written: list[str]
    """The table of all matrices, as Parquet and as CSV."""

    def blocks(self) -> Iterator[str | Table]:
        """A table, and where the rows of single matrices are."""
        if self.comparisons:
            rows = [[*dict(row).values()] for row in self.comparisons]
            yield Table("All matrices together", [*Comparison.model_fields], rows)
        yield from (f"wrote {path}" for path in self.written)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "--variant", nargs="+", action="extend", required=True, metavar="FOLDER",
        help="folders that `alpharl forecast` wrote, all of one run; or a pattern with {step}",
    )  # fmt: skip
    parser.add_argument(
        "--target", nargs="+", required=True, metavar="FOLDER",
        help="model folders of the checkpoints that were forecast, or a pattern such as "
        "'runs/foo/checkpoint-{step}'",
    )  # fmt: skip
    parser.add_argument(
        "--step", type=numbers.step, nargs="+", default=[], metavar="STEP",
        help="step of each --target, in their order; of a pattern, the steps to take (default: all "
        "that the pattern finds)",
    )  # fmt: skip
    parser.add_argument(
        "--gram", type=Path, nargs="+", required=True, metavar="FILE",
        help="files of `alpharl gram`: all shards of the run's gram, over the windows' steps and "
        "the targets",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, action=OutputTable, required=True, metavar="FILE",
        help="Parquet file to write, a row per forecast and matrix; a CSV file goes next to it",
    )  # fmt: skip
    prints(parser, Truth)


def run(
    variant: list[str], target: list[str], step: list[int], gram: list[Path], out: Path
) -> Truth:
    """Compare forecasts with the checkpoints that they forecast."""
    from alpharl.progress import shown
    from alpharl.spectra.gram import read_gram
    from alpharl.variants.truth import OVERALL, truth_table

    folders, targets = paths_at(variant), _targets(target, step)
    with shown() as progress:
        table = truth_table(folders, targets, read_gram(gram), progress)
    overall = table[table["tensor"] == OVERALL].drop(columns=["tensor", "layer", "module"])
    rows = [Comparison.model_validate(row) for row in records(overall)]
    return Truth(comparisons=rows, written=write_table(table, out))


def _targets(folders: list[str], steps: list[int]) -> dict[int, Path]:
    """The model folder of each target step, from one pattern, or from folders with their steps."""
    if len(folders) == 1 and "{step}" in folders[0]:
        return at_steps(folders[0], steps) if steps else find_steps(folders[0])
    if len(folders) != len(steps):
        raise StudyError(
            f"found {len(folders)} checkpoints for --target and {len(steps)} for --step; expected "
            "one step each, or one pattern with {step} for --target"
        )
    if len(set(steps)) < len(steps):
        raise StudyError(f"found --step {' '.join(map(str, steps))}, expected each step once")
    return dict(zip(steps, map(Path, folders), strict=True))
