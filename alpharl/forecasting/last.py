"""`last`: no forecast. The rival that every method has to beat."""

from __future__ import annotations

from typing import Literal

from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import Method


class Last(Method):
    """The window's last checkpoint, unchanged: what you have without any forecast."""

    source = "baseline"
    cost = "nothing"
    method: Literal["last"] = "last"

    def forecast(self, window: Window) -> Prediction:
        """The window's last checkpoint, all tensors."""
        weights = {window.last: 1.0}
        return Prediction(
            blend={name: dict(weights) for name in window.tensors}, fit={"weights": weights}
        )
