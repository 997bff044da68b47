"""Accuracy tables: checkpoints, rank-k variants against the full run, forecasts against `last`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pandas as pd

from alpharl.report.collect import Results, Score
from alpharl.report.columns import (
    NAN,
    SAMPLED,
    SCORE,
    difference_columns,
    difference_names,
    framed,
    score_columns,
    with_holm,
)
from alpharl.report.cost import balance
from alpharl.report.statistics import UNDEFINED, difference, gain_recovery, retention
from alpharl.report.words import variant_label
from alpharl.spectra.depth import Depth
from alpharl.study.plan import ForecastVariant
from alpharl.variants.recipes import RankVariant
from alpharl.variants.truth import NUMBERS

_ESTIMATES = ["retention", "retention_se", "gain_recovery", "gain_recovery_se"]
RECOVERY_DIFFERENCES = ["difference", "control_difference", "checkpoint_difference"]
FORECAST_DIFFERENCES = ["difference", "full_difference"]
_HEAD = ["variant", "label", "kind", *asdict(Depth()), "scale", "rest", "step", "control"]
_FORECAST = [
    "run", "suite", "window", "through", "target_step", "label", "method", "options",
]  # fmt: skip
_TRUTH = [f"truth_{name}" for name in NUMBERS]
_SCORE = [*SCORE, *SAMPLED]
_TABLE = ["run", "suite"]
"""Each run's scores on each suite stand in a table of their own."""


def accuracy_frame(results: Results) -> pd.DataFrame:
    """Per run, suite and step, the base among them: accuracy with its standard error."""
    rows = [
        {
            **{"run": run, "suite": suite, "role": spec.role, "step": step},
            **score_columns(score.raw, spec),
        }
        for run in results.study.runs
        for suite, spec in results.study.suites.items()
        for step in [0, *results.plan.steps(run)]
        for score in [results.scores[run, suite, f"step-{step}"]]
    ]
    return framed(rows, ["run", "suite", "role", "step", *_SCORE])


def gains_frame(results: Results) -> pd.DataFrame:
    """Per run and suite: accuracy of the base and the full run, and their paired difference.

    `truncated` is the largest share of answers cut off of any checkpoint.
    """
    rows = [
        _gain_row(results, run, suite)
        for run in results.study.runs
        for suite in results.study.suites
    ]
    return pd.DataFrame(rows)


def _gain_row(results: Results, run: str, suite: str) -> dict[str, Any]:
    base, full = _ends(results, run, suite)
    spec, gain = results.study.suites[suite], difference(full.correct_n, base.correct_n)
    steps = [0, *results.plan.steps(run)]
    truncated = max(results.scores[run, suite, f"step-{s}"].raw["truncated"] for s in steps)
    return {
        **{"run": run, "suite": suite, "role": spec.role, "n": len(base.correct_n)},
        **{"samples": spec.samples, "last_step": steps[-1]},
        **{"base": base.accuracy, "base_stderr": base.stderr},
        **{"full": full.accuracy, "full_stderr": full.stderr},
        **{"gain": gain.value, "gain_se": gain.se},
        **{"truncated": truncated, "over_budget": truncated > spec.max_truncated},
        "defined": gain.value > 2 * gain.se,
    }


def recovery_frame(results: Results) -> pd.DataFrame:
    """Per run and test suite: base, rank-k variants, controls and the full run.

    Paired differences: `difference` to the full run, `control_difference` to the random control of
    the same rank and norm, and, where there are variants of earlier steps, their
    `checkpoint_difference` to the checkpoint that they were made of.
    """
    rows = [
        row
        for run in results.study.runs
        for suite in results.study.test_suites
        for row in _recovery_rows(results, run, suite)
    ]
    differences = [column for name in RECOVERY_DIFFERENCES for column in difference_names(name)]
    frame = framed(rows, ["run", "suite", *_HEAD, *_SCORE, *_ESTIMATES, *differences])
    names = RECOVERY_DIFFERENCES
    if frame["checkpoint_difference"].isna().all():
        frame = frame.drop(columns=difference_names(names[-1]))
        names = names[:-1]
    return with_holm(frame, names, _TABLE)


def _recovery_rows(results: Results, run: str, suite: str) -> list[dict[str, Any]]:
    base, full = _ends(results, run, suite)
    rows = []
    for head in rank_heads(results, run):
        score = results.scores[run, suite, head["variant"]]
        control = results.scores.get((run, suite, head["control"]))
        early = head["variant"] != base.variant and head["step"] != results.plan.steps(run)[-1]
        checkpoint = results.scores[run, suite, f"step-{head['step']}"] if early else None
        rows.append(
            {
                **{"run": run, "suite": suite, **head},
                **_compared(results, score, base, full),
                **difference_columns("difference", score, full),
                **difference_columns("control_difference", score, control),
                **difference_columns("checkpoint_difference", score, checkpoint),
            }
        )
    return rows


def rank_heads(results: Results, run: str) -> list[dict[str, Any]]:
    """What is scored of a run beside its forecasts: base, rank-k variants, full run.

    Merged twins of adapters are left out: they have a table of their own.
    """
    last = results.plan.steps(run)[-1]
    variants = [v for v in results.plan.rank_variants(run) if not v.recipe.merged]
    heads = [_end("step-0", "base", 0), *(_head(variant, last) for variant in variants)]
    return [*heads, _end(f"step-{last}", "full run", last)]


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

    Paired differences: `difference` to the window's last checkpoint, what `last` is by definition,
    and `full_difference` to the full run. `truth_*` compare weights with those of the target step;
    nan where it was not trained.
    """
    frame = _forecasts(results)
    predicted = frame[frame["amplitude"] == 1].drop(columns="amplitude").reset_index(drop=True)
    return with_holm(predicted, FORECAST_DIFFERENCES, _TABLE)


def amplitudes_frame(results: Results) -> pd.DataFrame:
    """Per run, test suite, forecast and amplitude: norm of its update and accuracy.

    Several methods are knobs of the amplitude in disguise, as a replication of RELEX (Baseten,
    arXiv 2605.21468) found: only where a method beats `last` at its own norm has it found a
    direction. `difference` is that of `forecasts_frame`.
    """
    measured = ["norm_ratio", *_SCORE, *_ESTIMATES, *difference_names("difference")]
    frame = _forecasts(results)
    return frame[[name for name in (*_FORECAST, "amplitude", *measured) if name in frame]]


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
    differences = [column for name in FORECAST_DIFFERENCES for column in difference_names(name)]
    return framed(rows, [*_FORECAST, "amplitude", *_SCORE, *_ESTIMATES, *differences, *tail])


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
    against_last = difference_columns("difference", score, last)
    if forecast.options.method == "last":
        against_last["difference_p"] = NAN
    return {
        **{"run": run, "suite": suite, "window": forecast.window, "through": forecast.through},
        **{"target_step": target, "label": forecast.label},
        **{"method": forecast.options.method, "options": _options(forecast)},
        "amplitude": forecast.amplitude,
        **_compared(results, score, base, full),
        **against_last,
        **difference_columns("full_difference", score, full),
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


def _compared(results: Results, score: Score, base: Score, full: Score) -> dict[str, Any]:
    """Score columns, retention and gain recovery."""
    kept = recovered = UNDEFINED
    if score.correct_n.size:
        kept = retention(score.correct_n, full.correct_n)
        recovered = gain_recovery(score.correct_n, base.correct_n, full.correct_n)
    ratios = (kept.value, kept.se, recovered.value, recovered.se)
    return {
        **score_columns(score.raw, results.study.suites[score.suite]),
        **dict(zip(_ESTIMATES, ratios, strict=True)),
    }
