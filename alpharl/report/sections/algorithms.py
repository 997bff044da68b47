"""Runs by group: what each algorithm does to accuracy and weights, over its runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from alpharl.names import BASE, checkpoint_name
from alpharl.report.collect import Results
from alpharl.report.frames import Frames, groups, records
from alpharl.report.numbers import DASH, number
from alpharl.report.section import Section
from alpharl.report.sections.algorithm_measures import (
    ENDS,
    HEAD,
    OF_SCORES,
    OF_UPDATES,
    measures_frame,
)
from alpharl.report.statistics import difference
from alpharl.report.tables import Cell, Column, Table, table


class Algorithms(Section):
    """Means over the runs of each group."""

    name = "algorithms"
    nav = "By algorithm"
    title = "By algorithm"
    absent = "All runs of this study are of one group, so there is nothing to compare."
    null = (
        "If the algorithm did not matter, groups would differ by no more than the runs within a "
        "group do, whose standard deviations stand in brackets."
    )
    text = """
    <p>Runs by group: means over runs, in brackets the standard deviation over them. <em>Null</em>:
    the same number without any signal, which is the random rank-1 update of the same norm
    (recovery, retention), a Gaussian matrix (rank-1 share), the median of the random walk (PLS and
    line R²), or a Gaussian update that is stored with the same norm (unchanged). <em>se</em>: of
    the mean gain, over questions.</p>
    {% for table in tables %}
    {{ grid(table) }}
    {% endfor %}
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """Measures per run and per group, if there are two groups."""
        if len({(run.base, run.group) for run in results.study.runs.values()}) < 2:
            return {}
        measures = measures_frame(results, frames)
        return {"algorithm_runs": measures, "algorithms": groups_frame(results, measures)}

    def context(self, results: Results, frames: Frames) -> dict[str, Any] | None:
        """The tables; None where all runs are of one group."""
        if "algorithms" not in frames:
            return None
        return {"tables": groups_tables(frames["algorithms"])}


def groups_frame(results: Results, measures: pd.DataFrame) -> pd.DataFrame:
    """Per base, group, suite and measure: mean and standard deviation over the group's runs.

    `runs` counts those in which the measure is defined, `of` all. `null` is a mean too. `se`, of
    `gain` alone, is over questions: paired, each question's outcome a mean over the runs.
    """
    rows = []
    for (base, group, suite, measure), part in groups(
        measures, ["base", "group", "suite", "measure"]
    ):
        values = part["value"].dropna()
        rows.append(
            {
                **{"base": base, "group": group},
                **{name: ", ".join(dict.fromkeys(part[name])) for name in HEAD[2:]},
                **{"suite": suite, "measure": measure, "runs": len(values), "of": len(part)},
                **{"mean": values.mean(), "sd": values.std(ddof=1), "null": part["null"].mean()},
                "se": _gain_se(results, part["run"], suite) if measure == "gain" else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _gain_se(results: Results, runs: pd.Series, suite: str) -> float:
    """Standard error over questions of the runs' mean gain."""
    last = {run: checkpoint_name(results.plan.steps(run)[-1]) for run in runs}
    base_n, full_n = (
        np.mean([results.scores[run, suite, end[run]].correct_n for run in runs], axis=0)
        for end in (dict.fromkeys(runs, BASE), last)
    )
    return difference(full_n, base_n).se


def groups_tables(frame: pd.DataFrame) -> list[Table]:
    """A table of the scores on each test suite, then one of the updates themselves."""
    scores = [
        replace(_grouped(part, ENDS | OF_SCORES), title=f"Scores on {suite}")
        for suite, part in groups(frame[frame["suite"] != ""], "suite")
    ]
    return [*scores, replace(_grouped(frame[frame["suite"] == ""], OF_UPDATES), title="Updates")]


def _grouped(frame: pd.DataFrame, measures: dict[str, str]) -> Table:
    """A row per base and group, a column per measure that any of them has."""
    rows = [
        {
            **{name: getattr(part.iloc[0], name) for name in HEAD},
            "of": part["of"].max(),
            **{row.measure: _cell(row) for row in records(part)},
        }
        for _, part in groups(frame, ["base", "group"])
    ]
    columns = [
        Column("base", lambda r: r.base, kind="word"),
        Column("group", lambda r: r.group, kind="word"),
        Column("algorithm", lambda r: Cell(r.algorithm or DASH, r.optimizer), kind="word"),
        Column("runs", lambda r: str(r.of)),
        *(
            Column(words, _show(name))
            for name, words in measures.items()
            if name in set(frame["measure"])
        ),
    ]
    return table(pd.DataFrame(rows), columns, group="base")


def _cell(row: Any) -> Cell:
    """Mean and, in brackets, standard deviation over runs; below it, what it stands next to."""
    notes = [f"null {number(row.null)}"] if not np.isnan(row.null) else []
    notes += [f"se {number(row.se)}"] if not np.isnan(row.se) else []
    notes += [f"{row.runs} of {row.of} runs"] if row.runs < row.of else []
    spread = "" if np.isnan(row.sd) else f" ({number(row.sd)})"
    return Cell(number(row.mean) + spread, ", ".join(notes))


def _show(name: str) -> Callable[[Any], Cell]:
    """The cell of a measure; a dash where a group has none."""

    def show(row: Any) -> Cell:
        cell = getattr(row, name)
        return cell if isinstance(cell, Cell) else Cell(DASH)

    return show
