"""Adapters against the same updates merged into the model: what scoring itself adds.

An adapter is computed next to the weights; merged, the sum is rounded to the model's dtype, in
which a small update can vanish. Both are the same variant, so any difference between them is an
error of the other numbers in the report that no standard error covers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from alpharl.names import adapter_name
from alpharl.report.collect import Results
from alpharl.report.frames import Frames, with_rows
from alpharl.report.numbers import paired_difference, plus_minus
from alpharl.report.score_columns import (
    comparisons_note,
    difference_columns,
    difference_names,
    with_holm,
)
from alpharl.report.section import Section
from alpharl.report.tables import Column, Table, table

_COLUMNS = [
    "run", "suite", "adapter", "merged", "n", "adapter_accuracy", "adapter_stderr",
    "merged_accuracy", "merged_stderr", *difference_names("difference"), "changed",
]  # fmt: skip


class AdapterVsMerged(Section):
    """Each adapter next to its merged twin."""

    name = "adapter_vs_merged"
    title = "Adapter against merged model"
    null = (
        "If rounding did nothing, both would answer every question alike: a difference of "
        "exactly 0, and no question changed."
    )
    text = """
    <p>The same update scored twice: as an adapter next to the base's weights, and added to them in
    the base's own dtype. What differs is rounding, not the variant; take no other difference of
    this size for a finding.</p>
    {{ grid(merged) }}
    <p class="note">Data: <code>tables/merged.csv</code>.</p>
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """The twins, if there are any."""
        return with_rows(merged=merged_frame(results))

    def context(self, results: Results, frames: Frames) -> dict[str, Any] | None:
        """The table; None where the study has no merged twins."""
        return {"merged": merged_table(frames["merged"])} if "merged" in frames else None


def merged_frame(results: Results) -> pd.DataFrame:
    """Per merged twin: both accuracies, the paired difference merged − adapter, questions changed.

    Empty where the study has none.
    """
    rows = [
        _row(results, run, suite, variant.name)
        for run in results.study.runs
        for suite in results.study.test_suites
        for variant in results.plan.rank_variants(run)
        if variant.recipe.merged
    ]
    return with_holm(pd.DataFrame(rows, columns=_COLUMNS), ["difference"], [])


def _row(results: Results, run: str, suite: str, name: str) -> dict[str, Any]:
    twin = adapter_name(name)
    merged, adapter = (results.scores[run, suite, one] for one in (name, twin))
    return {
        **{"run": run, "suite": suite, "adapter": twin, "merged": name},
        **{"n": len(merged.correct_n)},
        **{"adapter_accuracy": adapter.accuracy, "adapter_stderr": adapter.stderr},
        **{"merged_accuracy": merged.accuracy, "merged_stderr": merged.stderr},
        **difference_columns("difference", merged, adapter),
        "changed": np.count_nonzero(merged.correct_n != adapter.correct_n),
    }


def merged_table(frame: pd.DataFrame) -> Table:
    """The frame as the page shows it."""
    columns = [
        Column("run", lambda r: r.run, kind="word"),
        Column("suite", lambda r: r.suite, kind="word"),
        Column("variant", lambda r: r.adapter, kind="word"),
        Column("adapter ± se", lambda r: plus_minus(r.adapter_accuracy, r.adapter_stderr)),
        Column("merged ± se", lambda r: plus_minus(r.merged_accuracy, r.merged_stderr)),
        Column("merged − adapter [95 %]", lambda r: paired_difference(r, "difference")),
        Column("questions changed", lambda r: f"{r.changed} of {r.n}"),
    ]
    note = comparisons_note(frame, ["difference"])
    return replace(table(frame, columns, group="run"), notes=(note,))
