"""Accuracy tables: checkpoints, rank-k variants against the full run, forecasts against `last`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pandas as pd

from alpharl.report.collect import Results, Score
from alpharl.report.cost import balance
from alpharl.report.statistics import (
    UNDEFINED,
    Estimate,
    difference,
    gain_recovery,
    retention,
)
from alpharl.report.words import variant_label
from alpharl.study.depth import Depth
from alpharl.study.plan import ForecastVariant
from alpharl.study.recipes import RankVariant
from alpharl.variants.truth import NUMBERS

_ESTIMATES = ["retention", "retention_se", "gain_recovery", "gain_recovery_se"]
_DIFFERENCE = ["difference", "difference_se", "difference_low", "difference_high"]
_CONTROL = [f"control_{name}" for name in _DIFFERENCE]
_HEAD = ["variant", "label", "kind", *asdict(Depth()), "scale", "rest", "step", "control"]
_FORECAST = [
    "run", "suite", "window", "through", "target_step", "label", "method", "options",
]  # fmt: skip
_TRUTH = [f"truth_{name}" for name in NUMBERS]
_SCORE = ["n", "accuracy", "stderr", "truncated"]


def accuracy_frame(results: Results) -> pd.DataFrame:
    """Per run, suite and step, the base among them: accuracy with its standard error."""
    rows = [
        {"run": run, "suite": suite, "role": spec.role, "step": step, **_score_columns(score)}
        for run in results.study.runs
        for suite, spec in results.study.suites.items()
        for step in [0, *results.plan.steps(run)]
        for score in [results.scores[run, suite, f"step-{step}"]]
    ]
    return pd.DataFrame(rows, columns=["run", "suite", "role", "step", *_SCORE])


def gains_frame(results: Results) -> pd.DataFrame:
    """Per run and suite: accuracy of the base and the full run, and their paired difference."""
    rows = []
    for run in results.study.runs:
        for suite, spec in results.study.suites.items():
            base, full = _ends(results, run, suite)
            gain = difference(full.correct_n, base.correct_n)
            rows.append(
                {
                    **{"run": run, "suite": suite, "role": spec.role, "n": len(base.correct_n)},
                    **{"last_step": results.plan.steps(run)[-1]},
                    **{"base": base.accuracy, "base_stderr": base.stderr},
                    **{"full": full.accuracy, "full_stderr": full.stderr},
                    **{"gain": gain.value, "gain_se": gain.se},
                    "defined": gain.value > 2 * gain.se,
                }
            )
    return pd.DataFrame(rows)


def recovery_frame(results: Results) -> pd.DataFrame:
    """Per run and test suite: base, rank-k variants, controls and the full run.

    `control_difference` is paired, against the random control of the same rank and norm.
    """
    rows = [
        row
        for run in results.study.runs
        for suite in results.study.test_suites
        for row in _recovery_rows(results, run, suite)
    ]
    columns = ["run", "suite", *_HEAD, *_SCORE, *_ESTIMATES, *_DIFFERENCE, *_CONTROL]
    return pd.DataFrame(rows, columns=columns)


def _recovery_rows(results: Results, run: str, suite: str) -> list[dict[str, Any]]:
    base, full = _ends(results, run, suite)
    last = results.plan.steps(run)[-1]
    heads = [_end(base.variant, "base", 0)]
    heads += [_head(variant, last) for variant in results.plan.rank_variants(run)]
    heads += [_end(full.variant, "full run", last)]
    rows = []
    for head in heads:
        score = results.scores[run, suite, head["variant"]]
        against_full = difference(score.correct_n, full.correct_n)
        compared = _compared(score, base, full, against_full)
        control = results.scores.get((run, suite, head["control"]))
        against = difference(score.correct_n, control.correct_n) if control else UNDEFINED
        beside = dict(zip(_CONTROL, _interval(against), strict=True))
        rows.append({"run": run, "suite": suite, **head, **compared, **beside})
    return rows


def _end(name: str, kind: str, step: int) -> dict[str, Any]:
    """An end of the run, in the columns of a variant."""
    plain = {**asdict(Depth()), "scale": 1.0, "rest": False}
    return {"variant": name, "label": kind, "kind": kind, **plain, "step": step, "control": ""}


def _head(variant: RankVariant, last: int) -> dict[str, Any]:
    """What a variant is; its label names the step unless it is the run's last."""
    recipe, where = variant.recipe, "" if variant.step == last else f" at step {variant.step}"
    return {
        **{"variant": variant.name, "label": variant_label(recipe) + where, "kind": recipe.kind},
        **asdict(recipe.depth),
        **{"scale": recipe.scale, "rest": recipe.rest, "step": variant.step},
        "control": variant.control or "",
    }


def forecasts_frame(results: Results) -> pd.DataFrame:
    """Per run, test suite and forecast as predicted: accuracy, what was kept, and what was saved.

    `difference` is paired, against the window's last checkpoint: what `last` is by definition.
    `truth_*` compare weights with those of the target step; nan where it was not trained.
    """
    frame = _forecasts(results)
    return frame[frame["amplitude"] == 1].drop(columns="amplitude").reset_index(drop=True)


def amplitudes_frame(results: Results) -> pd.DataFrame:
    """Per run, test suite, forecast and amplitude: norm of its update and accuracy.

    Several methods are knobs of the amplitude in disguise, as a replication of RELEX (Baseten,
    arXiv 2605.21468) found: only where a method beats `last` at its own norm has it found a
    direction. `difference` is that of `forecasts_frame`.
    """
    measured = ["norm_ratio", *_SCORE, *_ESTIMATES, *_DIFFERENCE]
    return _forecasts(results)[[*_FORECAST, "amplitude", *measured]]


def _forecasts(results: Results) -> pd.DataFrame:
    """All forecasts at all amplitudes."""
    rows = [
        _forecast_row(results, run, suite, forecast)
        for run in results.study.runs
        for suite in results.study.test_suites
        for forecast in results.plan.forecasts(run)
    ]
    seconds = ["training", "factors", "gram", "validation", "forecast", "saved"]
    tail = [
        "undefined",
        "norm_ratio",
        *_TRUTH,
        "steps_saved",
        *(f"seconds_{name}" for name in seconds),
    ]
    columns = [*_FORECAST, "amplitude", *_SCORE, *_ESTIMATES, *_DIFFERENCE, *tail]
    return pd.DataFrame(rows, columns=columns)


def _forecast_row(
    results: Results, run: str, suite: str, forecast: ForecastVariant
) -> dict[str, Any]:
    base, full = _ends(results, run, suite)
    last = results.scores[run, suite, f"step-{forecast.through}"]
    score = results.scores[run, suite, forecast.name]
    fitted = results.forecasts[run, forecast.name]
    target = results.target_step(run, forecast)
    known = results.truth.get((run, forecast.name), {})
    spent = balance(results, run, forecast)
    defined = not fitted["undefined"]
    against_last = difference(score.correct_n, last.correct_n) if defined else UNDEFINED
    return {
        **{"run": run, "suite": suite, "window": forecast.window, "through": forecast.through},
        **{"target_step": target, "label": forecast.label},
        **{"method": forecast.options.method, "options": _options(forecast)},
        "amplitude": forecast.amplitude,
        **_compared(score, base, full, against_last),
        **{"undefined": fitted["undefined"] or "", "norm_ratio": fitted["norm_ratio"]},
        **{f"truth_{name}": value for name, value in known.items()},
        "steps_saved": target - forecast.through,
        **{f"seconds_{name}": seconds for name, seconds in asdict(spent).items()},
        "seconds_saved": spent.saved if defined else float("nan"),
    }


def _options(forecast: ForecastVariant) -> str:
    """What the method was given; a target accuracy of the study stands for the method's own."""
    given = forecast.options.model_dump(exclude={"method"}, exclude_none=True)
    if forecast.target_accuracy is not None and "target_accuracy" in given:
        given["target_accuracy"] = forecast.target_accuracy
    return json.dumps(given)


def _ends(results: Results, run: str, suite: str) -> tuple[Score, Score]:
    """Scores of the base and of the full run, which is the last checkpoint."""
    last = results.plan.steps(run)[-1]
    return results.scores[run, suite, "step-0"], results.scores[run, suite, f"step-{last}"]


def _compared(score: Score, base: Score, full: Score, against: Estimate) -> dict[str, Any]:
    """Score columns, retention and gain recovery, and a paired difference that was made already."""
    kept = recovered = UNDEFINED
    if score.correct_n.size:
        kept = retention(score.correct_n, full.correct_n)
        recovered = gain_recovery(score.correct_n, base.correct_n, full.correct_n)
    ratios = (kept.value, kept.se, recovered.value, recovered.se)
    return {
        **_score_columns(score),
        **dict(zip(_ESTIMATES, ratios, strict=True)),
        **dict(zip(_DIFFERENCE, _interval(against), strict=True)),
    }


def _interval(estimate: Estimate) -> tuple[float, float, float, float]:
    """A paired difference as its columns hold it."""
    return estimate.value, estimate.se, estimate.low, estimate.high


def _score_columns(score: Score) -> dict[str, Any]:
    return {
        "n": len(score.correct_n),
        "accuracy": score.accuracy,
        "stderr": score.stderr,
        "truncated": score.raw["truncated"],
    }
