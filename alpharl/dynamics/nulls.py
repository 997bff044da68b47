"""Null models: what the same numbers look like where there is no signal.

* permutation: the clock (accuracy or step) is shuffled.
* noise: independent Gaussian vectors in place of the trajectory. With far more dimensions than
  checkpoints they fit any clock almost perfectly in sample.
* random walk: independent Gaussian increments with the trajectory's own step lengths. A walk with
  no drift at all looks like a line (reference: 8 / pi^2 of its energy in one direction).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from alpharl.dynamics.pls import pls_r2
from alpharl.dynamics.temporal import line_r2, temporal_svd

WALK_DIMENSIONS = 512
"""A walk's gram varies by 1/sqrt(dimensions) between draws; more would only be slower."""


@dataclass(frozen=True)
class Null:
    """Draws of a number under a null model."""

    name: str
    draws: np.ndarray

    def p_value(self, value: float) -> float:
        """Share of draws at least as large as the value, the value counted in."""
        return float((1 + np.sum(self.draws >= value)) / (1 + len(self.draws)))


def permuted(
    statistic: Callable[[np.ndarray], float], clock_t: np.ndarray, draws: int, seed: int
) -> Null:
    """The statistic with its clock shuffled."""
    rng = np.random.default_rng(seed)
    found = [statistic(rng.permutation(clock_t)) for _ in range(draws)]
    return Null("permutation", np.array(found))


def noise_pls(y_t: np.ndarray, dimensions: int, draws: int, seed: int) -> Null:
    """In-sample PLS R2 of independent Gaussian vectors against the true accuracies."""
    rng = np.random.default_rng(seed)
    found = [pls_r2(rng.standard_normal((len(y_t), dimensions)), y_t) for _ in range(draws)]
    return Null("noise", np.array(found))


def step_lengths(gram_tt: np.ndarray) -> np.ndarray:
    """|W(t_i) - W(t_{i-1})| for i = 1..T, W(t_0) being the base."""
    padded = np.pad(gram_tt, ((1, 0), (1, 0)))
    d = np.diag(padded)
    square = d[1:] + d[:-1] - 2 * np.diag(padded, 1)
    lengths: np.ndarray = np.sqrt(np.clip(square, 0, None))
    return lengths


def walk_grams(gram_tt: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Gram matrices (T, T) of random walks with the trajectory's step lengths."""
    rng, lengths = np.random.default_rng(seed), step_lengths(gram_tt)
    for _ in range(draws):
        steps = rng.standard_normal((len(lengths), WALK_DIMENSIONS))
        steps *= (lengths / np.linalg.norm(steps, axis=1))[:, None]
        path = np.cumsum(steps, axis=0)
        yield path @ path.T


def walk_line(gram_tt: np.ndarray, steps: np.ndarray, draws: int, seed: int) -> tuple[Null, Null]:
    """Temporal rank-1 share, and line R2 of its coefficient, of matched random walks."""
    shares, lines = [], []
    for gram in walk_grams(gram_tt, draws, seed):
        first = temporal_svd(gram, 1)
        shares.append(float(first.share[0]) if len(first.share) else 0.0)
        lines.append(line_r2(steps, first.coefficients[:, 0]) if len(first.share) else 0.0)
    return Null("random-walk", np.array(shares)), Null("random-walk", np.array(lines))
