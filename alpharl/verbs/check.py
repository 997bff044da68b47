"""Validate a study file and show what it would make.

Compares the headers of all checkpoints with their base, and says what each run will read, hold in
memory and write. Nothing is computed and nothing is written.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from alpharl.cost.table import Costs, StageCost
from alpharl.spectra.depth import Depth
from alpharl.study.overview import Overview, RunOverview, size_text
from alpharl.verbs import shared
from alpharl.verbs.parser import prints
from alpharl.verbs.result import Result, Table

if TYPE_CHECKING:
    from alpharl.spectra.estimate import RunSize

EXAMPLE = "alpharl check my-study.yaml --cost"


class Check(Overview, Result):
    """What a study would make, and what it would cost."""

    cost: Costs | None
    """What its stages cost, with `--cost`."""

    def blocks(self) -> Iterator[str | Table]:
        """The runs, the suites, the sizes, the costs."""
        yield f"study {self.study}: {len(self.bases)} bases, {len(self.runs)} runs"
        for name, run in self.runs.items():
            yield from _run_lines(name, run)
        if self.depth != Depth(self.rank):
            yield (
                f"  stored depth raised from rank {self.rank} to {self.depth}: `rank` or a "
                "forecast reads it"
            )
        yield from (f"  note: {note}" for note in self.notes)
        yield from (f"  suite {suite}: {n} variants to score" for suite, n in self.suites.items())
        yield from (f"  {n}: {run.sizes_unknown}" for n, run in self.runs.items() if not run.sizes)
        yield from _sizes({name: run.sizes for name, run in self.runs.items() if run.sizes})
        yield from _costs(self.cost, len(self.runs)) if self.cost else []


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    shared.study(parser)
    parser.add_argument(
        "--cost", action="store_true", help="show hours, memory and disk of each stage too"
    )
    prints(parser, Check)


def run(study: Path, cost: bool) -> Check:
    """Describe a study."""
    from alpharl.cost.table import costs
    from alpharl.study.check import describe
    from alpharl.study.config import load_study
    from alpharl.study.earlier import refuse_earlier
    from alpharl.study.plan import Plan

    plan = Plan(load_study(study))
    refuse_earlier(plan)
    return Check(**dict(describe(plan)), cost=costs(plan) if cost else None)


def _run_lines(name: str, run: RunOverview) -> Iterator[str]:
    windows = ", ".join(f"{window} (through step {end})" for window, end in run.windows.items())
    end_only = "" if run.is_path else "; too few for a path: only its end is studied"
    steps = f"{len(run.steps)} checkpoints {run.steps[0]}..{run.steps[-1]}"
    yield f"  {name}: base {run.base}, {steps}, {run.source}{end_only}"
    yield f"    windows: {windows or 'none'}; {run.forecasts} forecasts"
    yield f"    {run.rank_variants} rank variants and controls"
    yield from (f"    note: {note}" for note in run.notes)


def _sizes(sizes: dict[str, RunSize]) -> Iterator[str | Table]:
    """One column per run; runs of the same figures share one."""
    alike: dict[RunSize, list[str]] = {}
    for run, size in sizes.items():
        alike.setdefault(size, []).append(run)
    if not alike:
        return
    more = {runs[0]: f" and {len(runs) - 1} more" for runs in alike.values() if len(runs) > 1}
    names = [runs[0] + more.get(runs[0], "") for runs in alike.values()]
    columns = [_figures(size) for size in alike]
    yield ""
    rows = [[figure, *(column[figure] for column in columns)] for figure in columns[0]]
    yield Table("", ["", *names], rows)


def _figures(size: RunSize) -> dict[str, str]:
    first_left_out = f" ({size.left_out[0]})" if size.left_out else ""
    times = f"{size.full_svd / size.factors:,.0f}"
    return {
        "tensors": f"{size.tensors}",
        "parameters": f"{size.parameters:,}",
        "dtype": size.dtypes,
        "files": f"{size.files} (sharded)" if size.files > 1 else "1",
        "layer matrices left out": f"{len(size.left_out)}{first_left_out}",
        "output head": "tied" if size.tied else "own",
        "one checkpoint": size_text(size.checkpoint),
        "factors read (all checkpoints)": size_text(size.factors_read),
        "gram reads (all checkpoints)": size_text(size.gram_read),
        "peak memory of a factor job": size_text(size.peak_memory),
        "factors written per checkpoint": size_text(size.factors),
        "full U, S, V would take": f"{size_text(size.full_svd)} ({times} times)",
        "gram written": size_text(size.gram),
    }


_COST_COLUMNS = [
    "stage", "jobs", "hours", "core hours", "GPU hours", "peak memory, GB", "longest, h", "GPUs",
    "disk, GB", "scratch, GB",
]  # fmt: skip


def _costs(cost: Costs, runs: int) -> Iterator[str | Table]:
    """The table, and which of its runs stand on assumptions."""
    yield ""
    yield "expected, erring upwards; a job asks for three times its hours, at least ten minutes:"
    yield Table("", _COST_COLUMNS, [_cost_row(stage) for stage in [*cost.stages, cost.total]])
    if cost.assumed_parameters is not None:
        yield (
            f"{len(cost.assumed)} of {runs} runs have bases that are not here yet "
            f"({cost.assumed[0]}: taken as {cost.assumed_parameters / 1e6:,.1f} million "
            "parameters); jobs ask anew once they are"
        )


def _cost_row(cost: StageCost) -> list[object]:
    """Two digits after the point, where they say something."""
    values = dict(cost).values()
    return [
        value if not isinstance(value, float) else round(value, 2) if value < 100 else round(value)
        for value in values
    ]
