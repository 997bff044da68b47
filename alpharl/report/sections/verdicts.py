"""The report's first lines: each window's verdict, why, and what the test suite says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import Frames, records
from alpharl.report.numbers import signed
from alpharl.report.section import Section


class Verdicts(Section):
    """Whether the end can be forecast, said from inside each window."""

    name = "verdicts"
    title = "Can the end be forecast?"
    null = (
        "If forecasts scored just as the last checkpoint does, the interval of a supported one "
        "would hold 0 in 19 of 20 cases, and after a no about 1 forecast in 40 would still beat "
        "the last checkpoint beyond error."
    )
    text = """
    <p>Each verdict was made inside its window, from what was known by then; what follows it was
    not.</p>
    <dl class="verdicts">
    {% for line in verdicts %}
    <dt>{{ line.run }}, window {{ line.window }}: {{ line.text }}.</dt>
    <dd>{{ line.outcome }}
    <details><summary>Why</summary><ul>
    {% for sign, reason in line.reasons %}
    <li>{{ sign }} {{ reason }}</li>
    {% endfor %}
    </ul></details></dd>
    {% endfor %}
    </dl>
    """

    def context(self, results: Results, frames: Frames) -> dict[str, Any] | None:
        """A line per verdict; None where no method gives one."""
        lines = verdicts(results, frames["forecasts"])
        return {"verdicts": lines} if lines else None


@dataclass(frozen=True)
class Line:
    """One verdict, made inside its window, and its outcome, which only the test suite knows."""

    run: str
    window: str
    text: str
    reasons: list[tuple[str, str]]
    """A sign, for or against, and the sentence."""
    outcome: str


def verdicts(results: Results, forecasts: pd.DataFrame) -> list[Line]:
    """A line for each forecast that holds a verdict, those of `auto`.

    Args:
        results: of the study.
        forecasts: the frame of all forecasts, with their differences to `last`.
    """
    lines = []
    for run in results.study.runs:
        for forecast in results.plan.forecasts(run):
            verdict = results.forecasts[run, forecast.name]["fit"].get("verdict")
            if verdict and forecast.amplitude == 1:
                here = (forecasts["run"] == run) & (forecasts["window"] == forecast.window)
                outcome = _outcome(verdict, forecasts[here], forecast.label)
                lines.append(Line(run, forecast.window, _text(verdict), _reasons(verdict), outcome))
    return lines


def _text(verdict: dict[str, Any]) -> str:
    if not verdict["supported"]:
        return "no forecast is supported; keep the last checkpoint"
    return f"a forecast is supported, by {verdict['method']} as far as step {verdict['step']}"


def _reasons(verdict: dict[str, Any]) -> list[tuple[str, str]]:
    return [("+" if e["speaks_for"] else "−", e["text"]) for e in verdict["evidence"]]


def _outcome(verdict: dict[str, Any], forecasts: pd.DataFrame, label: str) -> str:
    """What the forecast was worth on test; or, of a no, whether another would have been better."""
    others = forecasts[forecasts["method"] != "last"]
    if verdict["supported"]:
        mine = [_against(row) for row in records(others[others["label"] == label])]
        return f"It scores {'; '.join(mine)} against the last checkpoint."
    better = others[others["difference_low"] > 0].sort_values("difference", ascending=False)
    if better.empty:
        return f"None of {len(others)} forecasts from this window beats it on test beyond error."
    best = next(records(better))
    return (
        f"{len(better)} of {len(others)} forecasts beat it on test beyond error, {best.label} most "
        f"({_against(best)})."
    )


def _against(row: Any) -> str:
    low, high = signed(row.difference_low), signed(row.difference_high)
    return f"{signed(row.difference)} [{low}, {high}] on {row.suite}"
