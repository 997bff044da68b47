"""Forward hold-out of a method inside its window: fit on a first part, judge at a later checkpoint.

Where P is the update that is forecast from the steps up to an origin, L the update at the origin
and D that of the judged step, all tensors together:

    way     |D - L|^2        what training still did: the squared error of keeping L
    move    |P - L|^2        what the forecast adds
    gain    <P - L, D - L>   how much of it goes the way training went

    relative error  |P - D| / |D - L| = sqrt((way - 2 gain + move) / way)    1: no better than L
    amplitude       gain / move    the share of the forecast's move that would have been best
    skill           gain^2 / (move way)    the share of the way's square that this move can reach

Everything follows from the window's gram.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from alpharl.errors import MethodError
from alpharl.forecasting.contract import Prediction, Window
from alpharl.spectra.gram import Gram


@dataclass(frozen=True)
class Backtest:
    """What one forecast inside the window was worth."""

    origin: int
    judged: int
    way: float
    move: float
    gain: float

    @property
    def reach(self) -> float:
        """Horizon: the judged step in units of the origin."""
        return self.judged / self.origin

    @property
    def relative_error(self) -> float:
        """1 is as good as keeping the weights of the origin; nan where training did not move."""
        square = self.way - 2 * self.gain + self.move
        return float(np.sqrt(max(square, 0.0) / self.way)) if self.way > 0 else float("nan")

    @property
    def amplitude(self) -> float:
        """The share of the move that would have come closest; 0 where nothing was forecast."""
        return self.gain / self.move if self.move > 0 else 0.0

    @property
    def skill(self) -> float:
        """Squared cosine between the forecast's move and the way, 0 where they point apart."""
        product = self.move * self.way
        return max(self.gain, 0.0) ** 2 / product if product > 0 else 0.0


def backtest(
    window: Window, forecast: Callable[[Window], Prediction], origin: int, judged: int
) -> Backtest:
    """Forecast an observed step from the steps up to an origin.

    Args:
        window: with its gram.
        forecast: a method that returns a blend, its options set.
        origin: the last step that is fitted.
        judged: a later observed step.

    Raises:
        MethodError: the method returns low-rank parts, or is not defined on so short a window.
    """
    steps = [step for step in window.steps if step <= origin]
    prediction = forecast(replace(window, steps=steps, target_step=judged))
    return judge(prediction, window.need_gram(), origin, judged)


def judge(prediction: Prediction, gram: Gram, origin: int, judged: int) -> Backtest:
    """Judge a blend against an observed step of the gram.

    Raises:
        MethodError: the prediction has low-rank parts, whose products no gram holds.
    """
    if prediction.adapter:
        raise MethodError("found a forecast with low-rank parts, expected a blend to back-test")
    at = {step: i for i, step in enumerate(gram.steps)}
    way = move = gain = 0.0
    for name, weights in prediction.blend.items():
        ahead, trained = np.zeros(len(at)), np.zeros(len(at))
        for step, weight in weights.items():
            ahead[at[step]] += weight
        ahead[at[origin]] -= 1.0
        trained[at[judged]], trained[at[origin]] = 1.0, -1.0
        products = gram.tensors[name]
        way += float(trained @ products @ trained)
        move += float(ahead @ products @ ahead)
        gain += float(ahead @ products @ trained)
    return Backtest(origin, judged, max(way, 0.0), max(move, 0.0), gain)
