"""`raw-linear`: a least-squares line through every parameter, without any SVD.

The raw variant that RELEX (arXiv 2605.21468) compares itself with, and its limit at full temporal
rank. The line has a free intercept: it need not pass through the base.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from alpharl.dynamics.temporal import line_weights
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import Method


class RawLinear(Method):
    """A least-squares line per parameter against the step: `relex` at full temporal rank."""

    source = "RELEX's raw variant, arXiv 2605.21468"
    cost = "nothing"
    method: Literal["raw-linear"] = "raw-linear"

    def forecast(self, window: Window) -> Prediction:
        """Base + each parameter's line at the target, all tensors.

        A line's value is a weighted sum of its points, and the weights depend on the steps alone:
        they are the same for all parameters.
        """
        line = line_weights(np.array(window.steps), window.need_target_step())
        weights = dict(zip(window.steps, line.tolist(), strict=True))
        return Prediction(
            blend={name: dict(weights) for name in window.tensors}, fit={"weights": weights}
        )
