"""What frames and tables of scores share: a score, a paired difference, what both are called.

The first half makes columns of frames, the second half shows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from alpharl.evaluation.settings import Suite
from alpharl.names import BASE, checkpoint_name
from alpharl.report.collect import Results, Score
from alpharl.report.frames import groups
from alpharl.report.numbers import number, plus_minus, recovered
from alpharl.report.statistics import (
    LEVEL,
    UNDEFINED,
    difference,
    gain_recovery,
    holm,
    p_value,
    retention,
)
from alpharl.report.tables import Column, Table, table

NAN = float("nan")
SAMPLED = ["pass_at_k", "pass_at_k_stderr", "maj_at_k", "maj_at_k_stderr"]
"""Columns of a score with several samples per question; k is all of them."""
SCORE = ["n", "samples", "accuracy", "stderr", "truncated", "over_budget", *SAMPLED]
"""Columns of a score; `over_budget` says that `truncated` is above what the suite allows."""
RATIOS = ["retention", "retention_se", "gain_recovery", "gain_recovery_se"]
TABLE = ["run", "suite"]
"""Each run's scores on each suite stand in a table of their own."""


def score_columns(numbers: dict[str, Any], suite: Suite) -> dict[str, Any]:
    """A score's numbers, or one task's of it, in columns; nan where a method is undefined."""
    if numbers["accuracy"] is None:
        empty = dict.fromkeys(SCORE, NAN)
        return {**empty, "n": 0, "samples": suite.samples, "over_budget": False}
    k = str(suite.samples)
    return {
        **{name: numbers[name] for name in ("n", "accuracy", "stderr", "truncated")},
        "samples": suite.samples,
        "over_budget": numbers["truncated"] > suite.max_truncated,
        **{f"{name}_k": numbers[name][k] for name in ("pass_at", "maj_at")},
        **{f"{name}_k_stderr": numbers[f"{name}_stderr"][k] for name in ("pass_at", "maj_at")},
    }


def ratio_columns(score: Score, base: Score, full: Score) -> dict[str, Any]:
    """Retention and gain recovery of a score; nan where it has no accuracy."""
    retained = regained = UNDEFINED
    if score.correct_n.size:
        retained = retention(score.correct_n, full.correct_n)
        regained = gain_recovery(score.correct_n, base.correct_n, full.correct_n)
    values = (retained.value, retained.se, regained.value, regained.se)
    return dict(zip(RATIOS, values, strict=True))


def ends(results: Results, run: str, suite: str) -> tuple[Score, Score]:
    """Scores of the base and of the full run, which is the last checkpoint."""
    last = results.plan.steps(run)[-1]
    return results.scores[run, suite, BASE], results.scores[run, suite, checkpoint_name(last)]


def difference_names(name: str) -> list[str]:
    """Columns of a paired difference: value, standard error, 95 % interval and p."""
    return [name, *(f"{name}_{end}" for end in ("se", "low", "high", "p"))]


def difference_columns(name: str, score: Score, reference: Score | None) -> dict[str, Any]:
    """Paired difference of two scores of a run; nan without a reference or an accuracy.

    A score against itself has no p: it is no comparison.
    """
    estimate = UNDEFINED
    if reference is not None and score.correct_n.size:
        estimate = difference(score.correct_n, reference.correct_n)
    p = NAN if score is reference else p_value(estimate)
    values = (estimate.value, estimate.se, estimate.low, estimate.high, p)
    return dict(zip(difference_names(name), values, strict=True))


def framed(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """Rows as a frame, without the columns of several samples where there is one of each."""
    frame = pd.DataFrame(rows, columns=columns)
    if (frame["samples"] > 1).any():
        return frame
    return frame.drop(columns=[name for name in SAMPLED if name in columns])


def with_holm(frame: pd.DataFrame, names: list[str], keys: list[str]) -> pd.DataFrame:
    """Add `<name>_holm`, the p of each difference adjusted over all that stand in its table.

    Args:
        frame: with `<name>_p` of each difference.
        names: the differences that the table shows.
        keys: the columns that tell tables apart; none where there is one table.
    """
    adjusted = [f"{name}_holm" for name in names]
    with_columns = frame.assign(**dict.fromkeys(adjusted, NAN))
    for part in [part for _, part in groups(frame, keys)] if keys else [frame]:
        p = part[[f"{name}_p" for name in names]].to_numpy(np.float64)
        with_columns.loc[part.index, adjusted] = holm(p.ravel()).reshape(p.shape)
    return with_columns


RETENTION = Column("retention\u00a0±\u00a0se", lambda r: plus_minus(r.retention, r.retention_se))
RECOVERY = Column("gain\u00a0recovery\u00a0±\u00a0se", recovered)
TRUNCATED = Column("cut off", lambda r: ("⚠ " if r.over_budget else "") + number(r.truncated, 2))
_OVER_BUDGET = (
    "⚠ More answers were cut off than the suite allows (max_truncated): such an accuracy measures "
    "the token budget as well."
)


def accuracy_columns(frame: pd.DataFrame) -> list[Column]:
    """Accuracy; of several samples per question, avg@k, pass@k and maj@k."""
    k = frame["samples"].iloc[0]
    if k == 1:
        return [Column("accuracy\u00a0±\u00a0se", lambda r: plus_minus(r.accuracy, r.stderr))]
    return [
        Column(f"avg@{k}\u00a0±\u00a0se", lambda r: plus_minus(r.accuracy, r.stderr)),
        Column(f"pass@{k}\u00a0±\u00a0se", lambda r: plus_minus(r.pass_at_k, r.pass_at_k_stderr)),
        Column(f"maj@{k}\u00a0±\u00a0se", lambda r: plus_minus(r.maj_at_k, r.maj_at_k_stderr)),
    ]


def tables_by_run(
    frame: pd.DataFrame,
    columns: Callable[[pd.DataFrame], list[Column]],
    differences: list[str],
    remarks: Callable[[pd.DataFrame], list[str]] = lambda part: [],
    group: str | None = None,
) -> list[Table]:
    """One table per run and test suite, with what is to be said of its comparisons below it."""
    names = [name for name in differences if name in frame]
    tables = []
    for (run, suite), part in groups(frame, TABLE):
        notes = [*remarks(part), comparisons_note(part, names), *over_budget_notes(part)]
        one = table(part, columns(part), f"{run} · {suite}", group)
        tables.append(replace(one, notes=tuple(filter(None, notes))))
    return tables


def comparisons_note(frame: pd.DataFrame, names: list[str]) -> str:
    """How many comparisons a table holds, and what remains of them; empty without any."""
    p = frame[[f"{name}_p" for name in names]].to_numpy(np.float64)
    adjusted = frame[[f"{name}_holm" for name in names]].to_numpy(np.float64)
    count, alone = np.count_nonzero(~np.isnan(p)), np.count_nonzero(p < LEVEL)
    if not count:
        return ""
    return (
        f"Comparisons in this table: {count}. By themselves {alone} have a 95 % interval that "
        f"excludes 0 (by chance alone about {number(count * LEVEL, 1)}); "
        f"{np.count_nonzero(adjusted < LEVEL)} survive Holm-Bonferroni over all {count} "
        "(▲ ▼; the others △ ▽)."
    )


def over_budget_notes(frame: pd.DataFrame) -> list[str]:
    """What the sign for too many cut answers means, where it stands in a table."""
    return [_OVER_BUDGET] if frame["over_budget"].any() else []
