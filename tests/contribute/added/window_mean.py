"""`window-mean`: the mean of the window's updates."""

from __future__ import annotations

from typing import Literal

from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import Method


class WindowMean(Method):
    """Base + the mean of the window's updates times `factor`."""

    source = "a test"
    cost = "nothing"
    method: Literal["window-mean"] = "window-mean"
    factor: float = 1.0
    """Multiplies the mean."""

    def forecast(self, window: Window) -> Prediction:
        """The same weight for each observed update, of all tensors."""
        weight = self.factor / len(window.steps)
        return Prediction({name: dict.fromkeys(window.steps, weight) for name in window.tensors})
