"""`logits-extrapolation`: a line through two models' logits (RLVR-Linearity, arXiv 2601.04537).

l = l_a + beta (l_b - l_a) with beta = (target - a) / (b - a), at every decoding step (released code
`logits_extrapolation.py`). Both models see the tokens that the mix has chosen so far. No single
model has these logits: the forecast names two observed checkpoints and can only be scored. The
paper samples at temperature 0.6; here, decoding is the suite's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from alpharl.forecasting.contract import LogitsLine, Prediction, Window
from alpharl.forecasting.method import Method
from alpharl.forecasting.weight_extrapolation import earlier_step, line_through
from alpharl.steps import Step


class LogitsExtrapolation(Method):
    """A straight line through the logits of two checkpoints, at every token; it has no weights."""

    source = "RLVR-Linearity, arXiv 2601.04537"
    cost = "nothing; scoring it runs two models side by side"
    update = False
    method: Literal["logits-extrapolation"] = "logits-extrapolation"
    first: Step | None = None
    """The step of the earlier checkpoint; default: the saved step nearest half the window."""

    def require_steps(self, steps: Sequence[int]) -> None:
        """Refuse `first` where it is no step of the window before the last."""
        earlier_step(steps, self.first)

    def forecast(self, window: Window) -> Prediction:
        """The line through the logits at `first` and at the window's last step.

        Raises:
            MethodError: `first` is not an observed step before the last.
        """
        first, last, beta = line_through(window, self.first)
        fit = {"first": first, "last": last, "beta": beta}
        return Prediction(fit=fit, logits=LogitsLine(first, last, beta))
