"""Scores in more detail than one accuracy: each task of a suite, and each k of several samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from alpharl.report.collect import Results, Score
from alpharl.report.columns import SAMPLED, SCORE, framed, score_columns
from alpharl.report.comparisons import rank_heads

_TASK = ["run", "suite", "task", "variant", "label", "where", "kind"]
_SAMPLES = ["run", "suite", "variant", "measure", "k", "value", "stderr"]


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
    return framed(rows, [*_TASK, *SCORE, *SAMPLED])


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
        heads.append((f"step-{step}", f"step {step}", "", "checkpoint"))
    heads.append((full["variant"], full["label"], "", full["kind"]))
    for head in heads:
        yield dict(zip(_TASK[3:], head, strict=True))


def samples_frame(results: Results) -> pd.DataFrame:
    """Per variant on a suite of several samples: pass@k for each k that is known, and maj@k.

    Empty where each question is answered once.
    """
    rows = [
        (run, suite, variant, measure, int(k), value, score.raw[f"{measure}_stderr"][k])
        for (run, suite, variant), score in results.scores.items()
        if results.study.suites[suite].samples > 1 and score.correct_n.size
        for measure in ("pass_at", "maj_at")
        for k, value in score.raw[measure].items()
    ]
    return pd.DataFrame(rows, columns=_SAMPLES)
