"""Published forecasts, rehearsed inside the window: which one suits the run?

A candidate forecasts the window's last checkpoint from an earlier origin, at about the horizon that
is wanted: if the target is 2.5 times the last step, the last step is 2.5 times the origin. Half the
window is rehearsed as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alpharl.forecasting.backtest import Backtest, backtest
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import Method
from alpharl.forecasting.raw_linear import RawLinear
from alpharl.forecasting.relex import RelexPinned
from alpharl.forecasting.weight_extrapolation import WeightExtrapolation

_METHODS: dict[str, Method] = {
    method.method: method for method in (RawLinear(), RelexPinned(), WeightExtrapolation())
}
WHOLE = ("raw-linear", "relex-pinned")
"""Candidates that fit the whole window."""
LATER = ("weight-extrapolation",)
"""Candidates that follow its later half. `recent` is none: on the runs that this was designed on
(docs/calibration.md) it came nearest in weights, and scored below the others."""


@dataclass(frozen=True)
class Candidate:
    """A method, and what it was worth inside the window."""

    label: str
    tests: list[Backtest]

    def forecast(self, window: Window) -> Prediction:
        """The method's own forecast of the window's target."""
        return _METHODS[self.label].forecast(window)

    @property
    def skill(self) -> float:
        """Mean share of the way's square that the move can reach, at its best amplitude."""
        return float(np.mean([test.skill for test in self.tests]))

    @property
    def amplitude(self) -> float:
        """Mean of the amplitudes that would have been best."""
        return float(np.mean([test.amplitude for test in self.tests]))


def candidates(window: Window) -> list[Candidate]:
    """All candidates, the one with most skill first; none where the window is too short.

    Raises:
        MethodError: no gram.
    """
    if not origins(window):
        return []
    rehearsed = [rehearse(window, label) for label in _METHODS]
    return sorted(rehearsed, key=lambda candidate: -candidate.skill)


def rehearse(window: Window, label: str) -> Candidate:
    """One method's forecasts of the window's last step from earlier origins."""
    forecast = _METHODS[label].forecast
    tests = [backtest(window, forecast, origin, window.last) for origin in origins(window)]
    return Candidate(label, tests)


def origins(window: Window) -> list[int]:
    """Steps to forecast the last one from, each with a checkpoint before it; none if too short."""
    inside = window.steps[1:-1]
    wanted = {window.last**2 / window.need_target_step(), window.last / 2}
    return sorted({min(inside, key=lambda s: abs(np.log(s / at))) for at in wanted if inside})


def shrunk(window: Window, prediction: Prediction, amplitude: float) -> Prediction:
    """Part of the way from the window's last checkpoint to a forecast blend."""
    blend = {}
    for name, weights in prediction.blend.items():
        part = {step: amplitude * weight for step, weight in weights.items()}
        part[window.last] = part.get(window.last, 0.0) + 1 - amplitude
        blend[name] = part
    return Prediction(blend)
