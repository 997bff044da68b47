"""The verdict: is a forecast beyond the window supported, by which method, how far, and why?

From the window alone. Weights that are well predicted need not score well: an extrapolated model
can be nearer to the trained one than the window's last checkpoint is, and answer worse. So with a
validation suite a few trial models decide. Without one the verdict needs predictable weights
(rehearsed forecasts inside the window, beside random walks) and room left in the accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from alpharl.forecasting.candidates import LATER, WHOLE, Candidate, candidates, shrunk
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.evidence import Evidence, accuracy, holdout, rotation, walks
from alpharl.forecasting.last import Last

CAUTION = 0.5
"""Share of the best rehearsed amplitude that is gone where no trial tells: scores turn before
weights do."""
ERRORS = 2.0
"""Paired standard errors by which the best trial must beat the last checkpoint."""


AUDIT = "audit"
"""Name of the evidence that the checkpoints are not what their names say."""
MOST_FAULTS = 5
"""Faults that are told with a verdict."""


@dataclass(frozen=True)
class Verdict:
    """What may be expected beyond the window, and the model that follows from it."""

    supported: bool
    method: str
    """The method to forecast with; `last` where nothing is supported."""
    amplitude: float
    """Share of the way from the last checkpoint to the target; 0 for `last`."""
    step: int
    """How far: the step that this amplitude amounts to."""
    evidence: list[Evidence]
    prediction: Prediction = field(repr=False)
    window: Window = field(repr=False)
    """What it was made from, with the target."""

    @property
    def is_of_faulty_checkpoints(self) -> bool:
        """Whether the checkpoints are not what their names say, so that it does not count."""
        return any(e.name == AUDIT for e in self.evidence)

    @property
    def lines(self) -> list[str]:
        """Faults of the checkpoints, the verdict, then the reasons, for people."""
        return lines(self.supported, self.method, self.step, self.evidence)

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def as_json(self) -> dict[str, Any]:
        """What it says and why, JSON-ready."""
        return {
            "supported": self.supported,
            "method": self.method,
            "amplitude": self.amplitude,
            "step": self.step,
            "evidence": [e.as_json() for e in self.evidence],
        }


class Reason(Protocol):
    """What a verdict says of a number; `Evidence`, and its form in JSON."""

    @property
    def name(self) -> str:
        """What was looked at."""

    @property
    def speaks_for(self) -> bool:
        """Whether it speaks for a forecast."""

    @property
    def text(self) -> str:
        """The number in a sentence."""


def lines(supported: bool, method: str, step: int, evidence: Sequence[Reason]) -> list[str]:
    """A verdict for people: faults of the checkpoints, the verdict in a line, then the reasons."""
    faults = [e.text for e in evidence if e.name == AUDIT]
    some = [f"audit: {text}" for text in faults[:MOST_FAULTS]]
    if len(faults) > MOST_FAULTS:
        some.append(f"audit: and {len(faults) - MOST_FAULTS} more; see `alpharl audit`")
    head = "not supported, keep the last checkpoint"
    if supported:
        head = f"supported, by {method} as far as step {step}"
    elif faults:
        head = "does not count: the checkpoints are not what their names say"
    reasons = [e for e in evidence if e.name != AUDIT]
    return [*some, head, *(f"{'+' if e.speaks_for else '-'} {e.text}" for e in reasons)]


def assess(window: Window, faults: Sequence[str] = ()) -> Verdict:
    """The verdict on the window's target.

    Args:
        window: with its gram, and where there are any with accuracies and `validate`.
        faults: what the audit found wrong with the window's checkpoints, in sentences. Nothing is
            rehearsed or tried with such.

    Raises:
        MethodError: no gram.
    """
    if faults:
        wrong = [Evidence(AUDIT, float("nan"), False, text) for text in faults]
        return _keep_last(window, wrong)
    ranked = candidates(window)
    if not ranked:
        short = f"the window holds {len(window.steps)} checkpoints; a rehearsal needs 3 at least"
        return _keep_last(window, [Evidence("window", len(window.steps), False, short)])
    if any(test.way == 0 for test in ranked[0].tests):
        still = "training did not move the window's last weights, so nothing can be rehearsed"
        return _keep_last(window, [Evidence("window", len(window.steps), False, still)])
    best = next(candidate for candidate in ranked if candidate.label in WHOLE)
    geometry = [holdout(best), walks(window, best), rotation(window)]
    if window.validate is not None:
        return _by_trials(window, ranked, [*geometry, *accuracy(window)])
    evidence = [*geometry, *(accuracy(window) or [_unknown()])]
    if all(e.speaks_for for e in evidence):
        return _supported(window, best, CAUTION * min(max(best.amplitude, 0.0), 1.0), evidence)
    return _keep_last(window, evidence)


def _unknown() -> Evidence:
    text = (
        "no validation accuracy is given of the last checkpoint and two before it: weights alone "
        "do not show that anything is gained"
    )
    return Evidence("accuracy", float("nan"), False, text)


@dataclass(frozen=True)
class Trial:
    """A trial model's validation score beside the last checkpoint's, question by question."""

    candidate: Candidate
    amplitude: float
    gain: float
    error: float
    """Paired standard error of the gain."""


def _by_trials(window: Window, ranked: Sequence[Candidate], evidence: list[Evidence]) -> Verdict:
    """Half the way by the whole window and by its later half; then more and less of the better.

    More is tried only where half is no loss. A walk that no rehearsal tells from a random one is
    not forecast, whatever a trial scores.
    """
    last_scores = window.need_validate()(Last().forecast(window))
    best_of = [next(c for c in ranked if c.label in family) for family in (WHOLE, LATER)]
    trials = [_trial(window, candidate, 0.5, last_scores) for candidate in best_of]
    better = max(trials, key=lambda trial: trial.gain)
    further = (1.0, 0.25) if better.gain >= 0 else (0.25,)
    trials += [_trial(window, better.candidate, amplitude, last_scores) for amplitude in further]
    best = max(trials, key=lambda trial: trial.gain)
    evidence = [*evidence, _compared(best, len(trials), float(last_scores.mean()))]
    walk = next(e for e in evidence if e.name == "random walk")
    if walk.speaks_for and evidence[-1].speaks_for:
        return _supported(window, best.candidate, best.amplitude, evidence)
    return _keep_last(window, evidence)


def _trial(
    window: Window, candidate: Candidate, amplitude: float, last_scores: np.ndarray
) -> Trial:
    model = shrunk(window, candidate.forecast(window), amplitude)
    gains = window.need_validate()(model) - last_scores
    error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
    return Trial(candidate, amplitude, float(gains.mean()), error)


def _compared(best: Trial, count: int, last_score: float) -> Evidence:
    text = (
        f"best of {count} trial models on the validation suite: {best.candidate.label} at "
        f"amplitude {best.amplitude:g} scores {last_score + best.gain:.3f}, the last checkpoint "
        f"{last_score:.3f} (paired standard error {best.error:.3f}; {ERRORS:g} of them count)"
    )
    return Evidence("trial", best.gain, best.gain > ERRORS * best.error, text)


def _supported(
    window: Window, candidate: Candidate, amplitude: float, evidence: list[Evidence]
) -> Verdict:
    step = round(window.last + amplitude * (window.need_target_step() - window.last))
    model = shrunk(window, candidate.forecast(window), amplitude)
    return Verdict(True, candidate.label, amplitude, step, evidence, model, window)


def _keep_last(window: Window, evidence: list[Evidence]) -> Verdict:
    model = Last().forecast(window)
    return Verdict(False, "last", 0.0, window.last, evidence, model, window)
