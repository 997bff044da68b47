"""`weight-extrapolation`: a line through two checkpoints (RLVR-Linearity, arXiv 2601.04537).

W_a + beta (W_b - W_a) with beta = (target - a) / (b - a), computed in float32, all tensors but the
norm layers, which are copied from the later checkpoint (released code `weight_extrapolation.py`).
"""

from __future__ import annotations

from alpharl.errors import MethodError
from alpharl.forecasting.contract import Prediction, Window
from alpharl.study.methods import WeightExtrapolation


def weight_extrapolation(window: Window, options: WeightExtrapolation) -> Prediction:
    """The line through the checkpoints at `first` and at the window's last step.

    Raises:
        MethodError: `first` is not an observed step before the last.
    """
    first, later, beta = line_through(window, options.first)
    line, copy = {first: 1.0 - beta, later: beta}, {later: 1.0}
    blend = {name: dict(copy if "norm" in name else line) for name in window.tensors}
    return Prediction(blend=blend, fit={"first": first, "last": later, "beta": beta})


def line_through(window: Window, first: int | None) -> tuple[int, int, float]:
    """Steps a and b of the line, and beta = (target - a) / (b - a).

    Args:
        window: its last step is b.
        first: a; None takes the saved step nearest half the window, of two the earlier.

    Raises:
        MethodError: `first` is not an observed step before the last.
    """
    earlier, last = window.steps[:-1], window.last
    if not earlier:
        raise MethodError("found 1 checkpoint in the window, expected 2; widen the window")
    if first is None:
        first = min(earlier, key=lambda step: (abs(step - last / 2), step))
    if first not in earlier:
        raise MethodError(
            f"first: found step {first}, expected one of {earlier}, the observed steps before the "
            "window's last"
        )
    return first, last, (window.target_step - first) / (last - first)
