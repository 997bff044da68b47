"""The measures of the updates: each with the text, the null and the tables of its own file.

Nothing here knows a measure by name: a new one shows up by being made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd
from pandas.api.types import is_numeric_dtype

from alpharl.measures.measure import Measure, last_step
from alpharl.report.collect import Results
from alpharl.report.frames import Frames, groups
from alpharl.report.numbers import number
from alpharl.report.section import Section
from alpharl.report.tables import Cell, Column, Table, table


@dataclass(frozen=True)
class Shown:
    """A measure as the page shows it."""

    name: str
    measure: Measure
    tables: list[Table]


class Measures(Section):
    """Numbers that describe the updates, each next to its null."""

    name = "measures"
    nav = "Measures"
    title = "Measures of the updates"
    null = "If there were no signal, each number would be its null, which each measure has below."
    absent = "This study measures nothing: 'measures' is empty in its file."
    text = """
    {% for shown in measures %}
    <h3>{{ shown.measure.title }}</h3>
    <p class="null"><strong>Null.</strong> {{ shown.measure.null }}</p>
    <p>{{ shown.measure.text | safe }}</p>
    {% for table in shown.tables %}
    {{ grid(table) }}
    {% else %}
    <p>None of the tensors of these models is one that it describes.</p>
    {% endfor %}
    <p class="note">{{ shown.measure.note }} Data: <code>tables/{{ shown.name }}.csv</code>.</p>
    {% endfor %}
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """Each measure in brief, of all runs."""
        return {name: measure_frame(results, name) for name in results.plan.measures}

    def context(self, results: Results, frames: Frames) -> dict[str, Any] | None:
        """The measures with their tables."""
        shown = [
            Shown(name, measure, measure_tables(measure, frames[name]))
            for name, measure in results.plan.measures.items()
        ]
        return {"measures": shown} if shown else None


def measure_frame(results: Results, name: str) -> pd.DataFrame:
    """Per run, the summary of one measure's table; no rows where no tensor has any."""
    measure = results.plan.measures[name]
    if results.tables[name].empty:
        columns = ["run", *measure.labels, *measure.columns, *measure.nulls.values()]
        return pd.DataFrame(columns=list(dict.fromkeys(columns)))
    parts = [
        measure.summary(part.drop(columns="run")).assign(run=run)
        for run, part in groups(results.tables[name], "run")
    ]
    frame = pd.concat(parts, ignore_index=True)
    return frame[["run", *(column for column in frame if column != "run")]]


def measure_tables(measure: Measure, frame: pd.DataFrame) -> list[Table]:
    """One table of all runs where each has one row, else one per run; remarks stand below."""
    if frame.empty:
        return []
    lasts = [(str(run), last_step(part)) for run, part in groups(frame, "run")]
    remarks = [(run, measure.remark(part)) for run, part in lasts]
    columns = [*_labels(measure, frame), *_numbers(measure)]
    if all(len(part) == 1 for _, part in lasts):
        whole = pd.concat([part for _, part in lasts])
        run = Column("run", lambda row: row.run, kind="word")
        notes = tuple(f"{name}: {remark}" for name, remark in remarks if remark)
        return [replace(table(whole, [run, *columns]), notes=notes)]
    return [
        replace(table(part, columns, run), notes=(remark,) if remark else ())
        for (run, part), (_, remark) in zip(lasts, remarks, strict=True)
    ]


def _labels(measure: Measure, frame: pd.DataFrame) -> Iterator[Column]:
    for name, heading in measure.labels.items():
        kind: Literal["number", "word"] = "number" if is_numeric_dtype(frame[name]) else "word"
        yield Column(heading, _text(name), kind)


def _text(name: str) -> Callable[[Any], str]:
    return lambda row: str(getattr(row, name))


def _numbers(measure: Measure) -> Iterator[Column]:
    """A null stands in a column of its own where `columns` names it, else below its number."""
    for name, heading in measure.columns.items():
        null = measure.nulls.get(name)
        yield Column(heading, _cell(measure, name, None if null in measure.columns else null))


def _cell(measure: Measure, name: str, null: str | None) -> Callable[[Any], str | Cell]:
    def show(row: Any) -> str | Cell:
        text = number(getattr(row, name), 0 if name in measure.counts else 3)
        return Cell(text, f"{measure.null_name} {number(getattr(row, null))}") if null else text

    return show
