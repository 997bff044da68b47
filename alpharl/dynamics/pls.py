"""One-component partial least squares, forwards and inverted (AlphaRL, section 3.1, eqs 6-10).

Same conventions as scikit-learn's `PLSRegression(n_components=1)` followed by a `LinearRegression`
on the score, which the authors' code uses: columns standardised with the n-1 deviation, a constant
column left at deviation 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alpharl.errors import UndefinedForecast


@dataclass(frozen=True)
class Pls:
    """A fitted line between a trajectory X (T, d) and a target y (T,)."""

    mean_d: np.ndarray
    scale_d: np.ndarray
    weight_d: np.ndarray
    loading_d: np.ndarray
    slope: float
    intercept: float

    def predict(self, x_td: np.ndarray) -> np.ndarray:
        """Predicted y (T,) of the rows of X."""
        score = ((x_td - self.mean_d) / self.scale_d) @ self.weight_d
        predicted: np.ndarray = self.slope * score + self.intercept
        return predicted

    def invert(self, y: float) -> np.ndarray:
        """The vector (d,) on the fitted line at which the prediction is y."""
        score = (y - self.intercept) / self.slope
        vector: np.ndarray = self.mean_d + self.scale_d * self.loading_d * score
        return vector


def fit_pls(x_td: np.ndarray, y_t: np.ndarray) -> Pls:
    """Fit one component.

    Args:
        x_td: (T, d) trajectory, any float type; computed in float64.
        y_t: (T,) accuracy, or any other clock.

    Raises:
        UndefinedForecast: fewer than two rows, or y or X does not vary.
    """
    x, y = np.asarray(x_td, np.float64), np.asarray(y_t, np.float64)
    mean, scale = x.mean(0), x.std(0, ddof=1) if len(x) > 1 else np.ones(x.shape[1])
    scale = np.where(scale > 0, scale, 1.0)
    standard = (x - mean) / scale
    weight = standard.T @ (y - y.mean())
    size = float(np.linalg.norm(weight))
    if len(x) < 2 or np.ptp(y) == 0 or not np.ptp(x, axis=0).any() or size == 0:
        raise UndefinedForecast(
            f"PLS over {len(x)} checkpoints: accuracies {y.round(4).tolist()} or vectors do not "
            "vary, expected at least two different ones; widen the window"
        )
    weight /= size
    score = standard @ weight
    square = float(score @ score)
    slope = float(score @ (y - y.mean())) / square
    return Pls(mean, scale, weight, standard.T @ score / square, slope, float(y.mean()))


def r_squared(y_t: np.ndarray, predicted_t: np.ndarray) -> float:
    """1 - sum of squared errors / sum of squares about the mean; 0 when y does not vary."""
    total = float(np.sum((y_t - y_t.mean()) ** 2))
    return 1.0 - float(np.sum((y_t - predicted_t) ** 2)) / total if total > 0 else 0.0


def pls_r2(x_td: np.ndarray, y_t: np.ndarray) -> float:
    """In-sample R2 of a one-component fit. Near 1 for pure noise when d >> T: read its nulls."""
    y = np.asarray(y_t, np.float64)
    return r_squared(y, fit_pls(x_td, y).predict(np.asarray(x_td, np.float64)))


def pls_left_out_r2(x_td: np.ndarray, y_t: np.ndarray) -> float:
    """R2 of predictions of each accuracy from a fit on all the others; may be below 0.

    nan where the others do not vary.
    """
    x, y = np.asarray(x_td, np.float64), np.asarray(y_t, np.float64)
    keep = ~np.eye(len(y), dtype=bool)
    try:
        predicted = [float(fit_pls(x[k], y[k]).predict(x[~k])[0]) for k in keep]
    except UndefinedForecast:
        return float("nan")
    return r_squared(y, np.array(predicted))
