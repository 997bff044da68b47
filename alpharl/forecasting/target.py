"""What is forecast: a later step, or an accuracy, as a step for methods whose clock is the step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from alpharl.bounds import MOST_SCALE, MOST_STEP
from alpharl.errors import MethodError, UndefinedForecast

_ROUNDING = 1e-9
"""Relative error of a crossing that is meant to be a whole step."""


def target_after(
    last: int, step: int | None, multiple: float | None, accuracy: float | None
) -> int | None:
    """The step to forecast, of a target that is given in one of three ways, or not at all.

    Args:
        last: the window's last step.
        step: the target itself.
        multiple: the target in units of the window's last step; the product is rounded.
        accuracy: the validation accuracy to forecast, whose step only a fit says.

    Returns:
        The step; None where the target is an accuracy, or where there is none.

    Raises:
        MethodError: two targets are given, or one that is not after the window or no accuracy.
    """
    named = {"target_step": step, "target_multiple": multiple, "target_accuracy": accuracy}
    given = [name for name, value in named.items() if value is not None]
    if len(given) > 1:
        raise MethodError(f"found {' and '.join(given)}, expected one target; drop the others")
    if accuracy is not None and not 0 < accuracy <= 1:
        raise MethodError(f"found target accuracy {accuracy:g}, expected one above 0, at most 1")
    if multiple is not None and not 1 < multiple <= MOST_SCALE:
        raise MethodError(
            f"found target multiple {multiple:g}, expected a number above 1 and at most "
            f"{MOST_SCALE:g}"
        )
    target = step if multiple is None else round(multiple * last)
    if target is None:
        return None
    if target <= last:
        raise MethodError(
            f"found target step {target}, expected one after the window's last step {last}; raise "
            "the target, or narrow the window"
        )
    if target > MOST_STEP:
        raise MethodError(f"found target step {target}, expected at most {MOST_STEP}; lower it")
    return int(target)


def step_reaching(target: float, steps: Sequence[int], accuracy_t: np.ndarray) -> int:
    """The step at which the least-squares line of accuracy against step reaches a target.

    Args:
        target: the accuracy to reach.
        steps: the window's steps (T,), increasing, without the base: a line from the base would
            take its first jump for the slope.
        accuracy_t: validation accuracies (T,) of these steps.

    Returns:
        The crossing, rounded up; it is later than the last step.

    Raises:
        UndefinedForecast: the accuracy does not rise, or is at the target already, at the last step
            or on the line there.
    """
    x, y = np.asarray(steps, np.float64), np.asarray(accuracy_t, np.float64)
    centred = x - x.mean()
    slope = float(centred @ (y - y.mean()) / (centred @ centred))
    if np.ptp(y) == 0 or slope <= 0:
        raise UndefinedForecast(
            f"found accuracies {y.round(4).tolist()} at steps {list(steps)}, expected them to rise "
            f"towards {target:g}; widen the window, or give a step as the target"
        )
    line = float(y.mean() + slope * centred[-1])
    if max(line, y[-1]) >= target:
        raise UndefinedForecast(
            f"found accuracy {y[-1]:.4f} at step {steps[-1]} ({line:.4f} on the line), expected "
            f"less than the target {target:g}; raise the target, or narrow the window"
        )
    crossing = float(x.mean() + (target - y.mean()) / slope)
    return max(steps[-1] + 1, math.ceil(crossing * (1 - _ROUNDING)))
