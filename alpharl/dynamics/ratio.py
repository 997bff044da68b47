"""Quotients that have a value where the divisor vanishes."""

from __future__ import annotations

import numpy as np


def ratio(above: np.ndarray, below: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    """Quotients, and a given number where the divisor is not positive."""
    positive = below > 0
    quotient: np.ndarray = np.where(positive, above / np.where(positive, below, 1.0), otherwise)
    return quotient


def r_squared(y_bt: np.ndarray, predicted_bt: np.ndarray) -> np.ndarray:
    """1 - sum of squared errors / sum of squares about the mean (...,); 0 where y does not vary."""
    total = np.sum((y_bt - y_bt.mean(-1, keepdims=True)) ** 2, axis=-1)
    explained: np.ndarray = 1 - ratio(np.sum((y_bt - predicted_bt) ** 2, axis=-1), total, 1.0)
    return explained
