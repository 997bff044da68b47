"""`weight-extrapolation`: a line through two checkpoints (RLVR-Linearity, arXiv 2601.04537).

W_a + beta (W_b - W_a) with beta = (target - a) / (b - a), computed in float32, all tensors but the
norm layers, which are copied from the later checkpoint (released code `weight_extrapolation.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from alpharl.errors import MethodError
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import Method
from alpharl.steps import Step


class WeightExtrapolation(Method):
    """A straight line through two checkpoints; norm layers stay those of the later one."""

    source = "RLVR-Linearity, arXiv 2601.04537"
    cost = "nothing"
    method: Literal["weight-extrapolation"] = "weight-extrapolation"
    first: Step | None = None
    """The step of the earlier checkpoint; default: the saved step nearest half the window."""

    def require_steps(self, steps: Sequence[int]) -> None:
        """Refuse `first` where it is no step of the window before the last."""
        earlier_step(steps, self.first)

    def forecast(self, window: Window) -> Prediction:
        """The line through the checkpoints at `first` and at the window's last step.

        Raises:
            MethodError: `first` is not an observed step before the last.
        """
        first, later, beta = line_through(window, self.first)
        line, copy = {first: 1.0 - beta, later: beta}, {later: 1.0}
        blend = {name: dict(copy if "norm" in name else line) for name in window.tensors}
        return Prediction(blend=blend, fit={"first": first, "last": later, "beta": beta})


def earlier_step(steps: Sequence[int], first: int | None) -> int:
    """An observed step before the last: `first`, or by default the one nearest half the window.

    Args:
        steps: those of the window.
        first: the step, if an option names it.

    Raises:
        MethodError: there is no such step.
    """
    earlier = list(steps[:-1])
    if first is None:
        if not earlier:
            raise MethodError("found 1 checkpoint in the window, expected 2; widen the window")
        return min(earlier, key=lambda step: (abs(step - steps[-1] / 2), step))
    if first not in earlier:
        raise MethodError(
            f"first: found step {first}, expected one of {earlier}, the observed steps "
            "before the window's last"
        )
    return first


def line_through(window: Window, first: int | None) -> tuple[int, int, float]:
    """Steps a and b of the line, and beta = (target - a) / (b - a).

    Args:
        window: its last step is b.
        first: a; None takes the default of `earlier_step`.

    Raises:
        MethodError: there is no such step.
    """
    earlier, last = earlier_step(window.steps, first), window.last
    return earlier, last, (window.need_target_step() - earlier) / (last - earlier)
