"""What each stage cost, from Snakemake's benchmark files."""

from __future__ import annotations

from typing import Any

import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import Frames
from alpharl.report.numbers import number
from alpharl.report.section import Section
from alpharl.report.tables import Column, Table, table


class Cost(Section):
    """Seconds and memory, per stage and per run."""

    name = "cost"
    nav = "Cost"
    title = "Cost"
    absent = "Nothing was measured: this tree holds no benchmark files."
    text = """
    <p>Summed over jobs, from Snakemake's benchmark files. Jobs run side by side, so the study took
    less time than this sum.
    A job that ran more than once, such as a resumed training, counts with its last time only.</p>
    {{ grid(stages) }}
    {{ grid(runs) }}
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """Per stage, and per run and stage."""
        return {"cost_stages": stages_frame(results), "cost_runs": runs_frame(results)}

    def context(self, results: Results, frames: Frames) -> dict[str, Any] | None:
        """Both tables; None where nothing was measured."""
        if frames["cost_stages"].empty:
            return None
        return {
            "stages": stages_table(frames["cost_stages"]),
            "runs": runs_table(frames["cost_runs"]),
        }


def stages_frame(results: Results) -> pd.DataFrame:
    """Per stage: jobs, seconds and CPU seconds (summed), memory (peak of any job, MB).

    The dearest stage comes first.
    """
    return _totals(results, ["stage"]).sort_values("seconds", ascending=False, kind="stable")


def runs_frame(results: Results) -> pd.DataFrame:
    """As `stages_frame`, per run and stage; the run is empty where runs share the work."""
    frame = _totals(results, ["run", "stage"])
    order = ["", *results.study.runs]
    return frame.sort_values(
        ["run", "seconds"],
        key=lambda column: column.map(order.index) if column.name == "run" else -column,
    )


def _totals(results: Results, keys: list[str]) -> pd.DataFrame:
    frame = results.jobs.groupby(keys).agg(
        jobs=("job", "size"),
        seconds=("seconds", "sum"),
        cpu_seconds=("cpu_seconds", "sum"),
        memory_mb=("memory_mb", "max"),
    )
    return frame.reset_index()


_COST = [
    Column("jobs", lambda r: str(r.jobs)),
    Column("seconds", lambda r: number(r.seconds, 1)),
    Column("CPU seconds", lambda r: number(r.cpu_seconds, 1)),
    Column("peak memory, MB", lambda r: number(r.memory_mb, 0)),
]


def stages_table(frame: pd.DataFrame) -> Table:
    """Cost per stage."""
    return table(frame, [Column("stage", lambda r: r.stage, kind="word"), *_COST])


def runs_table(frame: pd.DataFrame) -> Table:
    """Cost per run and stage."""
    run = Column("run", lambda r: r.run or "shared by the runs", kind="word")
    stage = Column("stage", lambda r: r.stage, kind="word")
    return table(frame, [run, stage, *_COST], group="run")
