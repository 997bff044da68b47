"""Null models: what the same numbers look like where there is no signal.

* permutation: the clock (accuracy or step) is shuffled.
* noise: independent Gaussian vectors in place of the trajectory. With far more dimensions than
  checkpoints they fit any clock almost perfectly in sample.
* noise: for what follows from a gram, independent vectors of the trajectory's own norms.
* random walk: independent Gaussian increments with the trajectory's own step lengths. A walk with
  no drift at all looks like a line (reference: 8 / pi^2 of its energy in one direction).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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


def walk_pls(
    statistic: Callable[[np.ndarray], float], u_td: np.ndarray, draws: int, seed: int
) -> Null:
    """The statistic of unit vectors that wander without drift, with the trajectory's own steps.

    Args:
        statistic: of a (T, d') trajectory, d' = min(d, WALK_DIMENSIONS).
        u_td: unit vectors, signs continuous in time.
        draws: number of walks.
        seed: of their steps.
    """
    rng, dimensions = np.random.default_rng(seed), min(u_td.shape[1], WALK_DIMENSIONS)
    chords = np.linalg.norm(np.diff(u_td, axis=0), axis=1)
    angles = 2 * np.arcsin(np.clip(chords / 2, 0, 1))
    found = [statistic(_sphere_walk(angles, dimensions, rng)) for _ in range(draws)]
    return Null("random-walk", np.array(found))


def _sphere_walk(angles: np.ndarray, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors (T, d), each turned from the one before by an angle in a random direction."""
    path = [_unit(rng.standard_normal(dimensions))]
    for angle in angles:
        aside = rng.standard_normal(dimensions)
        aside = _unit(aside - (aside @ path[-1]) * path[-1])
        path.append(np.cos(angle) * path[-1] + np.sin(angle) * aside)
    return np.stack(path)


def _unit(vector: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vector / np.linalg.norm(vector)
    return unit


def noise_cosine(dimensions: int, pairs: int, draws: int, seed: int) -> Null:
    """Mean |cosine| of `pairs` pairs of independent random unit vectors."""
    rng = np.random.default_rng(seed)
    # The cosine of two random unit vectors is one entry of a random unit vector.
    square = rng.standard_normal((draws, pairs)) ** 2
    rest = rng.chisquare(dimensions - 1, (draws, pairs)) if dimensions > 1 else 0.0
    return Null("noise", np.sqrt(square / (square + rest)).mean(1))


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


def noise_grams(gram_tt: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Gram matrices (T, T) of independent Gaussian vectors with the updates' own norms."""
    rng, norms = np.random.default_rng(seed), np.sqrt(np.clip(np.diag(gram_tt), 0, None))
    for _ in range(draws):
        rows = rng.standard_normal((len(norms), WALK_DIMENSIONS))
        rows *= (norms / np.linalg.norm(rows, axis=1))[:, None]
        yield rows @ rows.T


def line_null(
    name: str, grams: Iterable[np.ndarray], clocks: Sequence[np.ndarray]
) -> tuple[Null, list[Null]]:
    """Temporal rank-1 share of drawn grams, and R2 of a line through its coefficient by clock."""
    shares, lines = [], []
    for gram in grams:
        first = temporal_svd(gram, 1)
        kept = len(first.share) > 0
        shares.append(float(first.share[0]) if kept else 0.0)
        lines.append([line_r2(c, first.coefficients[:, 0]) if kept else 0.0 for c in clocks])
    by_clock = np.array(lines).T
    return Null(name, np.array(shares)), [Null(name, draws) for draws in by_clock]
