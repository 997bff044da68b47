"""One-component partial least squares, forwards and inverted (AlphaRL, section 3.1, eqs 6-10).

Same conventions as scikit-learn's `PLSRegression(n_components=1)` followed by a `LinearRegression`
on the score, which the authors' code uses: columns standardised with the n-1 deviation. A constant
column, which they leave at deviation 1, has no weight whatever its deviation.

Shapes: T checkpoints, d dimensions, M sets of checkpoints that are fitted. X is (..., T, d) and y
(..., T); leading axes are draws, which broadcast, and one run has none. A draw's numbers do not
depend on how many others there are, to the last bit: a permutation that changes nothing ties with
the measured value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alpharl.dynamics.ratio import r_squared, ratio
from alpharl.errors import UndefinedForecast

STILL = 1e-12
"""A column whose spread is below this share of its squares does not vary, but for rounding."""


@dataclass(frozen=True)
class Pls:
    """A fitted line between a trajectory X (T, d) and a target y (T,)."""

    mean_d: np.ndarray
    weight_d: np.ndarray
    """The score of a row is its product with these, once the mean is taken away."""
    direction_d: np.ndarray
    """How far X moves along the line while y grows by 1."""
    slope: float
    intercept: float

    def predict(self, x_td: np.ndarray) -> np.ndarray:
        """Predicted y (T,) of the rows of X."""
        predicted: np.ndarray = self.intercept + self.slope * ((x_td - self.mean_d) @ self.weight_d)
        return predicted

    def invert(self, y: float) -> np.ndarray:
        """The vector (d,) on the fitted line at which the prediction is y."""
        vector: np.ndarray = self.mean_d + (y - self.intercept) * self.direction_d
        return vector


def fit_pls(x_td: np.ndarray, y_t: np.ndarray) -> Pls:
    """Fit one component to one run.

    Args:
        x_td: (T, d) trajectory, any float type; computed in float64.
        y_t: (T,) accuracy, or any other clock.

    Raises:
        UndefinedForecast: fewer than two rows, or y or X does not vary.
    """
    x, y = np.asarray(x_td, np.float64), np.asarray(y_t, np.float64)
    fits = _fit(x, y, _everything(y))
    # y is asked for itself: the mean of equal numbers may differ from them by a last bit.
    if np.ptp(y) == 0 or fits.slope[0] == 0:
        raise UndefinedForecast(
            f"PLS over {len(x)} checkpoints: accuracies {y.round(4).tolist()} or vectors do not "
            "vary, expected at least two different ones; widen the window"
        )
    mean, score = x[0] + fits.mean[0], fits.score[0]
    direction = score @ (x - mean) / (score @ (y - fits.middle[0]))
    return Pls(mean, fits.weight[0], direction, float(fits.slope[0]), float(fits.middle[0]))


def has_fit(x_td: np.ndarray, y_t: np.ndarray) -> bool:
    """Whether one run can be fitted: it has two checkpoints at least, and both y and X vary."""
    try:
        fit_pls(x_td, y_t)
    except UndefinedForecast:
        return False
    return True


def pls_r2(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """In-sample R2 (...,) of a one-component fit; 0 where nothing varies.

    Near 1 for pure noise when d >> T: read its nulls.
    """
    return r_squared(y, _predict(x, y, _everything(y))[..., 0, :])


def pls_left_out_r2(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """R2 (...,) of predictions of each y from a fit on all the others; may be below 0."""
    others = ~np.eye(y.shape[-1], dtype=bool)
    return r_squared(y, np.diagonal(_predict(x, y, others), axis1=-2, axis2=-1))


def pls_holdout(x: np.ndarray, y: np.ndarray, fitted: int) -> np.ndarray:
    """Mean absolute error (...,) of the y after the first `fitted`, predicted from those."""
    first = np.arange(y.shape[-1])[None] < fitted
    predicted = _predict(x, y, first)[..., 0, fitted:]
    error: np.ndarray = np.abs(predicted - y[..., fitted:]).mean(-1)
    return error


def _everything(y: np.ndarray) -> np.ndarray:
    """The one set (1, T) of all checkpoints."""
    return np.ones((1, y.shape[-1]), bool)


def _predict(x: np.ndarray, y: np.ndarray, fitted_mt: np.ndarray) -> np.ndarray:
    """Fits on each set of checkpoints, read at all of them (..., M, T); the mean where none is."""
    fits = _fit(x, y, fitted_mt)
    predicted: np.ndarray = fits.middle[..., None] + fits.slope[..., None] * fits.score
    return predicted


class _Fits(NamedTuple):
    """Lines fitted to M sets of the checkpoints of each draw."""

    mean: np.ndarray
    """(..., M, d) of the fitted rows, measured from the trajectory's first row."""
    weight: np.ndarray
    """(..., M, d) of each column in the score; 0 for one that does not vary."""
    score: np.ndarray
    """(..., M, T) of all checkpoints."""
    slope: np.ndarray
    """(..., M) of y along the score; 0 where the fitted y or X do not vary."""
    middle: np.ndarray
    """(..., M) mean of the fitted y."""


def _fit(x: np.ndarray, y: np.ndarray, fitted_mt: np.ndarray) -> _Fits:
    """One component on each set of checkpoints.

    With c = X'y of centred rows and s the columns' spreads, the score is X (c / s): the weight of a
    standardised column is c / sqrt(s), and its value divides by sqrt(s) once more. Factors that all
    columns share fall out of the regression on the score.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    rows, count = fitted_mt.astype(np.float64), fitted_mt.sum(1)[:, None]
    x = x - x[..., :1, :]  # a column that does not vary is now exactly zero
    mean, square = rows @ x / count, rows @ x**2
    spread = square - count * mean**2
    varies = spread > STILL * square
    # A product for each draw: BLAS rounds one for all draws in another way than one for a single.
    middle = (rows @ y[..., None])[..., 0] / count[:, 0]
    centred = rows * (y[..., None, :] - middle[..., None])
    weight = (centred @ x) * np.where(varies, 1 / np.where(varies, spread, 1.0), 0.0)
    score = weight @ x.swapaxes(-1, -2) - (weight * mean).sum(-1, keepdims=True)
    power, along = (rows * score**2).sum(-1), (centred * score).sum(-1)
    return _Fits(mean, weight, score, ratio(along, power), middle)
