"""An exact test of whether two small sets of runs differ, and how far apart they are.

The unit is a run: a training seed changes everything that comes after it, so that a thousand
matrices or questions of one run are one observation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
EXACT = 200_000
"""Divisions that are all gone through; of more, as many are drawn."""


@dataclass(frozen=True)
class Comparison:
    """Two sets of runs; everything is nan where one of them is empty."""

    difference: float
    """Mean of the first minus mean of the second."""
    cliff: float
    """Cliff's delta: how much more often a run of the first is above one of the second than below
    it; 1 or -1 where they do not overlap (Cliff 1993)."""
    p: float
    """Share of the divisions whose means are at least as far apart, two-sided."""
    smallest: float
    """The smallest p that so many runs can give."""


def compare(first_n: Values, second_m: Values) -> Comparison:
    """Compare two sets of runs by a permutation test of the difference of means.

    Under the null, the runs could have been divided into n and m in any way. Divisions are drawn
    with a fixed seed where there are more than `EXACT` of them; the one found then counts as drawn.
    """
    if not len(first_n) or not len(second_m):
        return Comparison(*[math.nan] * 4)
    difference = float(first_n.mean() - second_m.mean())
    cliff = float(np.sign(first_n[:, None] - second_m[None, :]).mean())
    drawn = _differences(np.concatenate([first_n, second_m]), len(first_n))
    # Equal differences must not be told apart by the order in which they were summed up.
    slack = 1e-9 * max(np.abs(first_n).max(), np.abs(second_m).max())
    p = float((np.abs(drawn) >= abs(difference) - slack).mean())
    return Comparison(difference, cliff, p, smallest_p(len(first_n), len(second_m)))


def smallest_p(n: int, m: int) -> float:
    """For n and m runs: with n = m, the mirrored division is as extreme."""
    return max((2 if n == m else 1) / math.comb(n + m, n), 1 / EXACT)


def _differences(pooled: Values, n: int) -> Values:
    """Difference of means of all divisions into n and the rest, or of many of them."""
    centred, count = pooled - pooled.mean(), len(pooled)
    if math.comb(count, n) <= EXACT:
        chosen = np.array(list(combinations(range(count), n)))
    else:
        rng = np.random.default_rng(0)
        chosen = rng.permuted(np.tile(np.arange(count), (EXACT, 1)), axis=1)[:, :n]
        chosen[0] = np.arange(n)
    sums = centred[chosen].sum(axis=1)
    # The centred values of the rest add up to minus those of the chosen.
    return np.asarray(sums / n + sums / (count - n), dtype=np.float64)
