"""Each task of a suite alone, where a suite has several."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from alpharl.names import checkpoint_name
from alpharl.report.collect import Results, Score
from alpharl.report.frames import Frames, groups, with_rows
from alpharl.report.score_columns import (
    SCORE,
    TRUNCATED,
    accuracy_columns,
    framed,
    over_budget_notes,
    score_columns,
)
from alpharl.report.section import Section
from alpharl.report.sections.rank import rank_heads
from alpharl.report.tables import Cell, Column, Table, table

_TASK = ["run", "suite", "task", "variant", "label", "where", "kind"]


class PerTask(Section):
    """A table per task, of everything that is scored."""

    name = "per_task"
    title = "By task"
    null = (
        "If a variant were no better than the base on any task, it would still come out above "
        "it on about half of them, by margins of the size of the standard errors, which are "
        "wider here than for the whole suite."
    )
    text = """
    {% for table in tasks %}
    {{ grid(table) }}
    {% endfor %}
    <p class="note">Each task's questions alone; the checkpoints too:
    <code>tables/tasks.csv</code>.</p>
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """Each task's scores, if a suite has several tasks."""
        return with_rows(tasks=tasks_frame(results))

    def context(self, results: Results, frames: Frames) -> dict[str, Any] | None:
        """The tables; None where no suite has several tasks."""
        return {"tasks": task_tables(frames["tasks"])} if "tasks" in frames else None


def tasks_frame(results: Results) -> pd.DataFrame:
    """Per run, suite of several tasks, task and variant: the score of that task's questions alone.

    Empty where each suite has one task, and without forecasts that are undefined.
    """
    rows = [
        {"run": run, "suite": suite, "task": task, **head, **score_columns(numbers, spec)}
        for run in results.study.runs
        for suite, spec in results.study.suites.items()
        if len(spec.tasks) > 1
        for head in _heads(results, run)
        for score in _scored(results, run, suite, head["variant"])
        for task, numbers in score.raw["tasks"].items()
    ]
    return framed(rows, [*_TASK, *SCORE])


def _scored(results: Results, run: str, suite: str, variant: str) -> Iterator[Score]:
    """The score, if there is one: on validation suites only checkpoints have it."""
    score = results.scores.get((run, suite, variant))
    if score is not None and score.correct_n.size:
        yield score


def _heads(results: Results, run: str) -> Iterator[dict[str, Any]]:
    """Everything that is scored of a run, in words; amplitudes have a table of their own."""
    base, *ranks, full = rank_heads(results, run)
    heads = [(head["variant"], head["label"], "", head["kind"]) for head in (base, *ranks)]
    for forecast in results.plan.forecasts(run):
        if forecast.amplitude == 1:
            window = f"window {forecast.window} (to {forecast.through})"
            heads.append((forecast.name, forecast.label, window, "forecast"))
    for step in results.plan.steps(run)[:-1]:
        heads.append((checkpoint_name(step), f"step {step}", "", "checkpoint"))
    heads.append((full["variant"], full["label"], "", full["kind"]))
    for head in heads:
        yield dict(zip(_TASK[3:], head, strict=True))


def task_tables(frame: pd.DataFrame) -> list[Table]:
    """A table per task of the suites that have several; the full run's checkpoints are left out."""
    shown = frame[frame["kind"] != "checkpoint"]
    tables = []
    for (suite, task), part in groups(shown, ["suite", "task"]):
        columns = [
            Column("run", lambda r: r.run, kind="word"),
            Column("variant", lambda r: Cell(r.label, r.where), kind="word"),
            *accuracy_columns(part),
            TRUNCATED,
        ]
        title = f"{suite} · {task} ({part['n'].max()} questions)"
        one = table(part, columns, title, group="run")
        tables.append(replace(one, notes=tuple(over_budget_notes(part))))
    return tables
