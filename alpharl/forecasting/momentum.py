"""`momentum`: the last increment, kept up until the target. The shortest memory there is."""

from __future__ import annotations

from typing import Literal

from alpharl.errors import MethodError
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import Method


class Momentum(Method):
    """The last checkpoint, and on along the last increment until the target."""

    source = "baseline"
    cost = "nothing"
    method: Literal["momentum"] = "momentum"

    def forecast(self, window: Window) -> Prediction:
        """W(last) + (target - last) / (last - previous) (W(last) - W(previous)), all tensors.

        Raises:
            MethodError: the window holds one checkpoint only.
        """
        if len(window.steps) < 2:
            raise MethodError("found 1 checkpoint in the window, expected 2; widen the window")
        previous, last = window.steps[-2:]
        ahead = (window.need_target_step() - last) / (last - previous)
        weights = {previous: -ahead, last: 1.0 + ahead}
        return Prediction(
            blend={name: dict(weights) for name in window.tensors}, fit={"weights": weights}
        )
