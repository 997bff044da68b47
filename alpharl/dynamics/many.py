"""The measures of many draws at once, as null models need them; the same numbers as one by one.

Shapes: B draws, T checkpoints, d dimensions, M fits per draw. A trajectory or clock that all draws
share has B = 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alpharl.dynamics.temporal import line_weights

STILL = 1e-12
"""A column whose spread is below this share of its squares does not vary, but for rounding."""


def pls_r2(x_btd: np.ndarray, y_bt: np.ndarray) -> np.ndarray:
    """In-sample R2 (B,) of a one-component fit; 0 where nothing varies."""
    everything = np.ones((1, x_btd.shape[1]), bool)
    return _r_squared(y_bt, _predictions(x_btd, y_bt, everything)[:, 0])


def pls_left_out_r2(x_btd: np.ndarray, y_bt: np.ndarray) -> np.ndarray:
    """R2 (B,) of predictions of each y from a fit on all the others; may be below 0."""
    others = ~np.eye(x_btd.shape[1], dtype=bool)
    predicted = np.diagonal(_predictions(x_btd, y_bt, others), axis1=1, axis2=2)
    return _r_squared(y_bt, predicted)


def pls_holdout(x_btd: np.ndarray, y_bt: np.ndarray, fitted: int) -> np.ndarray:
    """Mean absolute error (B,) of the y after the first `fitted`, predicted from those."""
    first = np.arange(x_btd.shape[1])[None] < fitted
    predicted = _predictions(x_btd, y_bt, first)[:, 0, fitted:]
    error: np.ndarray = np.abs(predicted - y_bt[:, fitted:]).mean(1)
    return error


def _predictions(x_btd: np.ndarray, y_bt: np.ndarray, fitted_mt: np.ndarray) -> np.ndarray:
    """One-component PLS on each subset of checkpoints, read at all of them: (B, M, T).

    With c = X'y of centred rows and s the columns' spreads, the score is X (c / s): the weight of a
    standardised column is c / sqrt(s), and its value divides by sqrt(s) once more. Factors that all
    columns share fall out of the regression on the score. Where the fitted y or X do not vary, the
    prediction is the mean.
    """
    rows, count = fitted_mt.astype(np.float64), fitted_mt.sum(1)[:, None]
    x = x_btd - x_btd[:, :1]  # a column that does not vary is now exactly zero
    mean, square = rows @ x / count, rows @ x**2
    spread = square - count * mean**2
    varies = spread > STILL * square
    middle = y_bt @ rows.T / count[:, 0]
    centred = rows * (y_bt[:, None] - middle[..., None])
    weight = (centred @ x) * np.where(varies, 1 / np.where(varies, spread, 1.0), 0.0)
    score = weight @ x.swapaxes(1, 2) - (weight * mean).sum(-1, keepdims=True)
    power, along = (rows * score**2).sum(-1), (centred * score).sum(-1)
    slope = _ratio(along, power)
    predicted: np.ndarray = middle[..., None] + slope[..., None] * score
    return predicted


def _r_squared(y_bt: np.ndarray, predicted_bt: np.ndarray) -> np.ndarray:
    total = np.sum((y_bt - y_bt.mean(1, keepdims=True)) ** 2, axis=1)
    found: np.ndarray = 1 - _ratio(np.sum((y_bt - predicted_bt) ** 2, axis=1), total, 1.0)
    return found


def _ratio(above: np.ndarray, below: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    """Quotients, and a given number where the divisor is not positive."""
    safe = np.where(below > 0, below, 1.0)
    quotient: np.ndarray = np.where(below > 0, above / safe, otherwise)
    return quotient


def line_r2(clock_bt: np.ndarray, values_bt: np.ndarray) -> np.ndarray:
    """R2 (B,) of a straight line through (clock, value); 0 where either does not vary."""
    t, v = (x - x.mean(-1, keepdims=True) for x in (clock_bt, values_bt))
    power = np.sum(t**2, axis=-1) * np.sum(v**2, axis=-1)
    return _ratio(np.sum(t * v, axis=-1) ** 2, power)


def line_fits(
    grams_btt: np.ndarray, clocks: Sequence[np.ndarray]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Temporal rank-1 share (B,), and R2 (B,) of a line through its coefficient by each clock (T,).

    A trajectory that never leaves the base has share 0 and R2 0.
    """
    values, vectors = np.linalg.eigh(grams_btt)
    total = np.trace(grams_btt, axis1=1, axis2=2)
    first = vectors[:, :, -1] * (total > 0)[:, None]
    return _ratio(values[:, -1], total), [line_r2(clock[None], first) for clock in clocks]


def line_holdout(grams_btt: np.ndarray, steps: np.ndarray, fitted: int) -> np.ndarray:
    """Error of the forecast line over that of keeping the last fitted weights (B,).

    1 where the weights no longer move: nothing is gained or lost there.
    """
    values, vectors = np.linalg.eigh(grams_btt[:, :fitted, :fitted])
    sigma, first = np.sqrt(np.clip(values[:, -1:], 0, None)), vectors[:, :, -1]
    read = np.stack([line_weights(steps[:fitted], float(at)) for at in steps[fitted:]])
    forecast = sigma * (first @ read.T)
    cross = np.einsum("bt,btl->bl", first, grams_btt[:, :fitted, fitted:])
    square = np.diagonal(grams_btt, axis1=1, axis2=2)[:, fitted:]
    line = forecast**2 - 2 * forecast * _ratio(cross, np.broadcast_to(sigma, cross.shape)) + square
    last = grams_btt[:, fitted - 1]
    keep = square - 2 * last[:, fitted:] + last[:, fitted - 1 : fitted]
    # Below zero only by rounding.
    error, stay = (np.clip(x, 0, None).sum(1) for x in (line, keep))
    ratio: np.ndarray = np.sqrt(_ratio(error, stay, 1.0))
    return ratio
