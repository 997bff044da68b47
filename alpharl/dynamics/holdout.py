"""Forward hold-out: fit on the first checkpoints, judge on later ones, beside staying put."""

from __future__ import annotations

import numpy as np

from alpharl.dynamics.pls import fit_pls
from alpharl.dynamics.temporal import read_off, temporal_svd


def holdout_size(count: int, share: float) -> int:
    """Number of checkpoints that are fitted: at least two, and at least one is left to judge."""
    return min(max(2, round(count * share)), count - 1)


def pls_holdout(x_td: np.ndarray, y_t: np.ndarray, fitted: int) -> tuple[float, float]:
    """Mean absolute error of later accuracies: predicted by PLS, and by the last fitted one."""
    model = fit_pls(x_td[:fitted], y_t[:fitted])
    later = y_t[fitted:]
    predicted = np.abs(model.predict(np.asarray(x_td[fitted:], np.float64)) - later).mean()
    return float(predicted), float(np.abs(y_t[fitted - 1] - later).mean())


def line_holdout(gram_tt: np.ndarray, steps: np.ndarray, fitted: int) -> float:
    """Error of the forecast line in weight space over the error of keeping the last weights.

    The direction and the line come from the first `fitted` checkpoints (`relex`, rank 1); the
    root mean square distance to the later updates is computed from the gram. Below 1: the line
    helps. nan when the weights no longer move.
    """
    first = temporal_svd(gram_tt[:fitted, :fitted], 1)
    if not len(first.share):
        return float("nan")
    line, keep = 0.0, 0.0
    for later in range(fitted, len(steps)):
        at = read_off(steps[:fitted], first.coefficients[:, 0], float(steps[later]))
        line += _distance(gram_tt, first.mix[:, 0] * at, later)
        keep += _distance(gram_tt, np.eye(fitted)[-1], later)
    return float(np.sqrt(line / keep)) if keep > 0 else float("nan")


def _distance(gram_tt: np.ndarray, weights: np.ndarray, later: int) -> float:
    """Squared distance between a blend of the first updates and a later update."""
    n = len(weights)
    cross = weights @ gram_tt[:n, later]
    square = weights @ gram_tt[:n, :n] @ weights - 2 * cross + gram_tt[later, later]
    return max(float(square), 0.0)  # rounding, where the blend hits the update
