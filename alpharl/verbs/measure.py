"""Measure a run's updates in one pass over its weights, each number next to its null.

A measure describes updates per tensor or matrix, for example how sparse they are or how much of
them numbers in bfloat16 would show anyway. Without names, all measures are made.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alpharl.registry import Names
from alpharl.verbs import shared
from alpharl.verbs.inputs import option_pair
from alpharl.verbs.opened import opened
from alpharl.verbs.outputs import records, write_table
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputFolder, Values
from alpharl.verbs.result import Result, Table

EXAMPLE = (
    "alpharl measure sparsity floor --base models/base --checkpoints 'runs/foo/checkpoint-{step}' "
    "--out measures"
)

Row = dict[str, str | int | float | None]


class Measures(Result):
    """Measures of a run in brief."""

    last_step: dict[str, list[Row]]
    """By measure, the rows of its summary at the last step; the columns depend on the measure."""
    written: list[str]
    """The tables of all tensors and steps, as Parquet and as CSV."""

    def blocks(self) -> Iterator[str | Table]:
        """A table for each measure, and where the rows of single tensors are."""
        from alpharl.measures.registry import MEASURES

        for name, rows in self.last_step.items():
            columns = [*rows[0]] if rows else []
            cells = [[*row.values()] for row in rows]
            yield Table(f"{MEASURES[name].title}, last step", columns, cells)
        yield from (f"wrote {path}" for path in self.written)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "measure", nargs="*", choices=Names("alpharl.measures.registry:MEASURES"), metavar="NAME",
        help="measures to make, among %(choices)s (default: all)",
    )  # fmt: skip
    shared.base(parser)
    shared.checkpoints(parser)
    shared.files(parser)
    shared.stage(parser)
    shared.options(
        parser, "NAME.KEY=VALUE", "an option of a measure, such as sparsity.seed=1; may be repeated"
    )
    parser.add_argument(
        "--out", type=Path, action=OutputFolder, writes=_tables, required=True, metavar="FOLDER",
        help="folder to write a Parquet table of each measure to, with a CSV file next to it",
    )  # fmt: skip
    shared.gpus(parser)
    prints(parser, Measures)


def run(
    measure: list[str],
    base: Path,
    checkpoints: list[str],
    steps: list[int] | None,
    factors: str | None,
    gram: str | None,
    shards: int,
    stage: str | None,
    option: list[str],
    out: Path,
    gpus: int,
) -> Measures:
    """Measure the updates of a run."""
    from alpharl.gpu import cards
    from alpharl.measures.measure import last_step
    from alpharl.measures.registry import read_measures

    options = _options(option)
    measures = read_measures(measure, options)
    with (
        cards(gpus),
        opened(base, checkpoints, steps, factors=factors, gram=gram, shards=shards) as trajectory,
    ):
        tables = trajectory.measure(*measure, options=options, stage=stage)
    return Measures(
        last_step={
            name: records(last_step(measures[name].summary(table)))
            for name, table in tables.items()
        },
        written=[
            path
            for name, table in tables.items()
            for path in write_table(table, out / f"{name}.parquet")
        ],
    )


def _tables(values: Values) -> list[Path]:
    """The tables of the measures, and the CSV files next to them."""
    from alpharl.measures.registry import read_measures

    names = read_measures(values["measure"], _options(values["option"]))
    return [values["out"] / f"{name}{suffix}" for name in names for suffix in (".parquet", ".csv")]


def _options(pairs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Options by measure, from `NAME.KEY=VALUE`."""
    options: dict[str, dict[str, Any]] = defaultdict(dict)
    for pair in pairs:
        key, value = option_pair(pair, "NAME.KEY=VALUE")
        name, _, option = key.partition(".")
        options[name][option] = value
    return options
