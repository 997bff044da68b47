"""Straight lines through a trajectory's leading direction, in and out of sample.

Leading axes (...) of grams and values are draws, and one run has none. As in `alpharl.dynamics.pls`
a draw's numbers do not depend on how many others there are, to the last bit.
"""

from __future__ import annotations

import numpy as np

from alpharl.dynamics.ratio import ratio
from alpharl.dynamics.temporal import directions, line_weights


def line_r2(clock: np.ndarray, values: np.ndarray) -> np.ndarray:
    """R2 (...,) of a straight line through (clock, value), the squared correlation.

    0 where either does not vary.
    """
    t, v = (x - x.mean(-1, keepdims=True) for x in (clock, values))
    power = np.sum(t**2, axis=-1) * np.sum(v**2, axis=-1)
    return ratio(np.sum(t * v, axis=-1) ** 2, power)


def leading(grams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share (...,) of the first temporal direction in the energy, and its coefficients (..., T).

    The coefficients have norm 1. A trajectory that never leaves the base has share 0 and
    coefficients 0.
    """
    energy, u = directions(grams)
    total = np.trace(grams, axis1=-2, axis2=-1)
    return ratio(energy[..., 0], total), u[..., 0] * (total > 0)[..., None]


def line_holdout(grams: np.ndarray, steps: np.ndarray, fitted: int) -> np.ndarray:
    """Error (...,) of the forecast line in weight space over that of keeping the last weights.

    The direction and the line come from the first `fitted` checkpoints (`relex`, rank 1); the
    root mean square distance to the later updates follows from the gram. Below 1: the line helps.
    nan where there is nothing to compare: the fitted weights never left the base, or the later ones
    are the last fitted ones.

    Args:
        grams: (..., T, T) inner products of the updates.
        steps: (T,) the clock.
        fitted: number of checkpoints.
    """
    energy, u = directions(grams[..., :fitted, :fitted])
    sigma, first = np.sqrt(energy[..., :1]), u[..., 0]
    read = np.stack([line_weights(steps[:fitted], float(at)) for at in steps[fitted:]])
    # Products for each draw, which do not depend on the number of draws.
    forecast = sigma * (read @ first[..., None])[..., 0]
    cross = ratio((first[..., None, :] @ grams[..., :fitted, fitted:])[..., 0, :], sigma)
    square = np.diagonal(grams, axis1=-2, axis2=-1)[..., fitted:]
    line = forecast**2 - 2 * forecast * cross + square
    last = grams[..., fitted - 1, :]
    keep = square - 2 * last[..., fitted:] + last[..., fitted - 1 : fitted]
    # Below zero only by rounding.
    error, stay = (np.clip(x, 0, None).sum(-1) for x in (line, keep))
    defined = (energy[..., 0] > 0) & (stay > 0)
    errors: np.ndarray = np.where(defined, np.sqrt(ratio(error, stay)), np.nan)
    return errors
