"""`first-update`: the first observed update, scaled up.

A replication of RELEX (by Baseten, of arXiv 2605.21468) found it a surprising rival: the update
of a single optimizer step, times 1000, scored above 500 steps of training (MATH, Qwen2.5-Math-1.5B;
the factor was chosen on the test set), and on other tasks it fell below the base.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import Method, Multiple


class FirstUpdate(Method):
    """Base + gamma times the window's first update."""

    source = "replication of RELEX by Baseten (arXiv 2605.21468)"
    cost = "nothing"
    method: Literal["first-update"] = "first-update"
    gamma: Annotated[Multiple, Field(gt=0)] | None = None
    """Factor of the first update; default: target step / first step, the line through the base."""

    def forecast(self, window: Window) -> Prediction:
        """W(0) + gamma (W(first) - W(0)), all tensors, one global gamma.

        By default gamma = target / first: the line through the base and the first checkpoint.
        """
        first = window.steps[0]
        gamma = window.need_target_step() / first if self.gamma is None else self.gamma
        weights = {first: gamma}
        return Prediction(
            blend={name: dict(weights) for name in window.tensors}, fit={"weights": weights}
        )
