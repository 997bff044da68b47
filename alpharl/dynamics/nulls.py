"""Null models: what the same numbers look like where there is no signal.

* permutation: the clock (accuracy or step), or the order of the checkpoints, is shuffled. The
  share of the first temporal direction does not depend on the order, so it has no such null.
* noise: independent Gaussian vectors in place of the trajectory. With far more dimensions than
  checkpoints they fit any clock almost perfectly in sample. For what follows from a gram:
  independent vectors of the updates' own norms.
* random-walk: independent Gaussian increments with the trajectory's own step lengths. A walk with
  no drift at all looks like a line (reference: 8 / pi^2 of its energy in one direction). For fits
  of u1: unit vectors that wander without drift and turn as far as the trajectory's own u1 at each
  step. For rotation that would be the measured number again, so there the weights of a block walk,
  and their first vectors are compared (`alpharl.dynamics.blocks`).
* bf16: the walking block seen through bfloat16 storage (`alpharl.dynamics.blocks`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

WALK_DIMENSIONS = 512
"""A walk's gram varies by 1/sqrt(dimensions) between draws; more would only be slower."""
AT_ONCE = 1 << 21
"""Numbers of several draws that are in memory at a time: 16 MiB."""


@dataclass(frozen=True)
class Null:
    """Draws of a number under a null model."""

    name: str
    draws: np.ndarray

    def p_value(self, value: float, smaller: bool = False) -> float:
        """Share of draws at least as large as the value, the value counted in; nan for nan.

        Args:
            value: the measured number.
            smaller: the number is an error: count the draws that are at least as small.
        """
        if np.isnan(value):
            return float("nan")
        beyond = self.draws <= value if smaller else self.draws >= value
        return float((1 + np.sum(beyond)) / (1 + len(self.draws)))


def batches(draws: int, size: int) -> Iterator[int]:
    """Numbers of draws that are worked on at a time, each of `size` numbers."""
    most = max(1, AT_ONCE // size)
    for start in range(0, draws, most):
        yield min(most, draws - start)


def shuffles(count: int, draws: int, seed: int) -> np.ndarray:
    """Random orders (draws, count) of the numbers 0 to count - 1."""
    rng = np.random.default_rng(seed)
    return rng.permuted(np.tile(np.arange(count), (draws, 1)), axis=1)


def noise_vectors(count: int, dimensions: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Independent Gaussian vectors (b, count, dimensions), as many draws as fit at a time."""
    rng = np.random.default_rng(seed)
    for some in batches(draws, count * count * dimensions):
        yield rng.standard_normal((some, count, dimensions))


def turns(u_td: np.ndarray) -> np.ndarray:
    """Angles (T-1,) between neighbouring unit vectors, whose signs are continuous in time."""
    chords = np.linalg.norm(np.diff(u_td, axis=0), axis=1)
    angles: np.ndarray = 2 * np.arcsin(np.clip(chords / 2, 0, 1))
    return angles


def sphere_walks(angles_bt: np.ndarray, dimensions: int, seed: int) -> Iterator[np.ndarray]:
    """Unit vectors (b, T, d), each turned from the one before in a random direction.

    Args:
        angles_bt: (B, T-1) angles of each draw's turns.
        dimensions: of the space; at most WALK_DIMENSIONS of them are used.
        seed: of the directions.
    """
    rng, d = np.random.default_rng(seed), min(dimensions, WALK_DIMENSIONS)
    count, done = angles_bt.shape[1] + 1, 0
    for some in batches(len(angles_bt), count * count * d):
        path = rng.standard_normal((some, count, d))
        angles = angles_bt[done : done + some, :, None]
        path[:, 0] = _unit(path[:, 0])
        for t in range(1, count):
            before, aside = path[:, t - 1], path[:, t]
            aside = _unit(aside - np.einsum("bd,bd->b", aside, before)[:, None] * before)
            path[:, t] = np.cos(angles[:, t - 1]) * before + np.sin(angles[:, t - 1]) * aside
        done += some
        yield path


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: np.ndarray = vectors / np.maximum(norms, np.finfo(float).tiny)
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


@lru_cache(maxsize=4)
def _cosines(count: int, draws: int, seed: int) -> np.ndarray:
    """Cosines (draws, count, count) of independent Gaussian vectors; one set for all tensors."""
    rng, cosines = np.random.default_rng(seed), []
    for some in batches(draws, count * WALK_DIMENSIONS):
        rows = _unit(rng.standard_normal((some, count, WALK_DIMENSIONS)))
        cosines.append(rows @ rows.swapaxes(1, 2))
    return np.concatenate(cosines)


def walk_grams(gram_tt: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Grams (draws, T, T) of random walks with the trajectory's step lengths."""
    lengths = step_lengths(gram_tt)
    steps = np.outer(lengths, lengths) * _cosines(len(lengths), draws, seed)
    grams: np.ndarray = steps.cumsum(1).cumsum(2)
    return grams


def noise_grams(gram_tt: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Grams (draws, T, T) of independent Gaussian vectors with the updates' own norms."""
    norms = np.sqrt(np.clip(np.diag(gram_tt), 0, None))
    grams: np.ndarray = np.outer(norms, norms) * _cosines(len(norms), draws, seed)
    return grams
