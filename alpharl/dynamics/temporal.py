"""Temporal SVD of a tensor's trajectory, from its gram matrix alone (RELEX, section 3).

Stack the updates as rows of M (T x d), not centred. G = M M^T = U diag(lambda) U^T. The k-th
temporal direction is V_k = M^T U_k / sqrt(lambda_k), its coefficients over time are
C_k = sqrt(lambda_k) U_k, and so anything built on them is a weighted sum of observed updates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from alpharl.dynamics.ratio import ratio

Fit = Literal["linear", "quadratic", "saturating"]
CUTOFF = 1e-6
"""Directions with sqrt(lambda) below this share of the first are dropped, as RELEX does."""


@dataclass(frozen=True)
class Temporal:
    """Kept directions of one tensor: `coefficients` (T, r), `mix` (T, r), `share` (r,)."""

    coefficients: np.ndarray
    """C: the updates' coordinates along each direction."""
    mix: np.ndarray
    """U / sqrt(lambda): direction k is the sum over t of mix[t, k] times update t."""
    share: np.ndarray
    """Each direction's share of the trajectory's energy."""


def temporal_svd(gram_tt: np.ndarray, rank: int) -> Temporal:
    """The leading temporal directions of a tensor.

    Args:
        gram_tt: (T, T) float64 inner products of the updates.
        rank: number of directions; cut where they vanish, so a frozen tensor has none.
    """
    energy, vectors = directions(gram_tt)
    sigma = np.sqrt(energy)
    keep = [k for k in range(min(rank, len(sigma))) if sigma[k] > CUTOFF * sigma[0]]
    u, s = vectors[:, keep], sigma[keep]
    return Temporal(u * s, u / s, ratio(energy[keep], np.trace(gram_tt)))


def directions(grams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies (..., T) of all directions, largest first, and their U (..., T, T) in columns.

    The sign of each direction is fixed so that its last coefficient is positive.

    Args:
        grams: (..., T, T) inner products; the leading axes are draws, and one run has none.
    """
    energy, u = np.linalg.eigh(grams)
    energy, u = np.clip(energy[..., ::-1], 0, None), u[..., ::-1]
    return energy, u * np.where(u[..., -1:, :] < 0, -1.0, 1.0)


def read_off(steps: np.ndarray, values: np.ndarray, at: float, fit: Fit = "linear") -> float:
    """Least-squares curve through (step, value), read at a step.

    `linear` a t + b; `quadratic` a t^2 + b t + c; `saturating` a (1 - exp(-t / tau)) + b with tau
    on a grid from a tenth to ten times the last step. With too few points for a curve's
    parameters the next simpler curve is fitted.
    """
    t, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    if len(t) == 1:
        return float(y[0])
    if fit == "saturating" and len(t) >= 4:
        return _saturating(t, y, at)
    degree = 2 if fit == "quadratic" and len(t) >= 3 else 1
    scale = float(np.abs(t).max())
    return float(np.polyval(np.polyfit(t / scale, y, degree), at / scale))


def line_weights(steps: np.ndarray, at: float) -> np.ndarray:
    """Weights (T,) of the values whose sum is their least-squares line, read at a step.

    They depend on the steps alone, and sum to 1. A single value is kept as it is.
    """
    offset = np.asarray(steps, np.float64) - np.mean(steps)
    spread = float(offset @ offset)
    slope = offset / spread if spread > 0 else offset
    weights: np.ndarray = 1 / len(offset) + slope * (at - np.mean(steps))
    return weights


def _saturating(t: np.ndarray, y: np.ndarray, at: float) -> float:
    best = (np.inf, 0.0)
    for tau in t[-1] * np.geomspace(0.1, 10, 41):
        rise = 1 - np.exp(-t / tau)
        design = np.stack([rise, np.ones_like(t)], axis=1)
        (a, b), *_ = np.linalg.lstsq(design, y, rcond=None)
        error = float(np.sum((design @ [a, b] - y) ** 2))
        best = min(best, (error, float(a * (1 - np.exp(-at / tau)) + b)))
    return best[1]
