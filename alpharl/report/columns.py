"""What frames hold of a score and of a paired difference, and the correction of a table's many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from alpharl.evaluation.settings import Suite
from alpharl.report.collect import Score
from alpharl.report.frames import groups
from alpharl.report.statistics import LEVEL, UNDEFINED, difference, holm, p_value
from alpharl.report.words import number

NAN = float("nan")
SCORE = ["n", "samples", "accuracy", "stderr", "truncated", "over_budget"]
"""Columns of a score; `over_budget` says that `truncated` is above what the suite allows."""
SAMPLED = ["pass_at_k", "pass_at_k_stderr", "maj_at_k", "maj_at_k_stderr"]
"""Columns of a score with several samples per question; k is all of them."""


def score_columns(numbers: dict[str, Any], suite: Suite) -> dict[str, Any]:
    """A score's numbers, or one task's of it, in columns; nan where a method is undefined."""
    if numbers["accuracy"] is None:
        empty = dict.fromkeys([*SCORE, *SAMPLED], NAN)
        return {**empty, "n": 0, "samples": suite.samples, "over_budget": False}
    k = str(suite.samples)
    return {
        **{name: numbers[name] for name in ("n", "accuracy", "stderr", "truncated")},
        "samples": suite.samples,
        "over_budget": numbers["truncated"] > suite.max_truncated,
        **{f"{name}_k": numbers[name][k] for name in ("pass_at", "maj_at")},
        **{f"{name}_k_stderr": numbers[f"{name}_stderr"][k] for name in ("pass_at", "maj_at")},
    }


def difference_names(name: str) -> list[str]:
    """Columns of a paired difference: value, standard error, 95 % interval and p."""
    return [name, *(f"{name}_{end}" for end in ("se", "low", "high", "p"))]


def difference_columns(name: str, score: Score, reference: Score | None) -> dict[str, Any]:
    """Paired difference of two scores of a run; nan without a reference or an accuracy.

    A score against itself has no p: it is no comparison.
    """
    found = UNDEFINED
    if reference is not None and score.correct_n.size:
        found = difference(score.correct_n, reference.correct_n)
    p = NAN if score is reference else p_value(found)
    values = (found.value, found.se, found.low, found.high, p)
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
    found = frame.assign(**dict.fromkeys(adjusted, NAN))
    for part in [part for _, part in groups(frame, keys)] if keys else [frame]:
        p = part[[f"{name}_p" for name in names]].to_numpy(np.float64)
        found.loc[part.index, adjusted] = holm(p.ravel()).reshape(p.shape)
    return found


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
