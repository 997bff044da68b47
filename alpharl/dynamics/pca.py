"""Principal components of a run's path through weight space, from its gram alone, next to a walk's.

The points are the base and the checkpoints. A random walk in many dimensions has the same smooth
picture each time: its k-th component is a cosine of k half turns, so that any two of them draw a
Lissajous curve, and the k-th explains 6 / (pi^2 k^2) of the variance, 61 % the first (Antognini and
Sohl-Dickstein 2018, "PCA of high dimensional random walks with comparison to neural network
training", arXiv 1806.08805). So a smooth curve with one strong component says nothing by itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from alpharl.dynamics.nulls import Null, step_lengths, walk_grams
from alpharl.dynamics.temporal import directions
from alpharl.errors import MethodError
from alpharl.spectra.gram import Gram

COMPONENTS = 3
COLUMNS = [
    "component", "explained", "null_q05", "null_q50", "null_q95", "p",
    "step", "coordinate", "walk",
]  # fmt: skip


def total_gram(gram: Gram, names: Iterable[str]) -> np.ndarray:
    """Inner products (T, T) of the named tensors' updates, taken together.

    Raises:
        MethodError: no checkpoint differs from the base.
    """
    total = gram.total(names)
    if not total.any():
        raise MethodError(
            f"PCA: found {len(gram.steps)} checkpoints equal to the base, expected weights that "
            "move; check the run's folder"
        )
    return total


def principal(grams: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (..., T+1, k) of the base and the checkpoints, and shares of variance (..., k).

    Args:
        grams: (..., T, T) inner products of updates; the base is added as the zero row.
        components: k. Each one's sign makes its last coordinate positive.
    """
    wide = [(0, 0)] * (grams.ndim - 2) + [(1, 0), (1, 0)]
    padded = np.pad(grams, wide)
    centred = padded - padded.mean(-1, keepdims=True)
    centred = centred - centred.mean(-2, keepdims=True)
    variance, vectors = directions(centred)
    coordinates = vectors * np.sqrt(variance)[..., None, :]
    share = variance / variance.sum(-1, keepdims=True)
    return coordinates[..., :components], share[..., :components]


def expected_walk(gram_tt: np.ndarray) -> np.ndarray:
    """Gram (T, T) of the mean walk with the trajectory's step lengths: shared steps, squared."""
    passed = np.cumsum(step_lengths(gram_tt) ** 2)
    gram: np.ndarray = np.minimum.outer(passed, passed)
    return gram


def pca_table(gram: Gram, names: Iterable[str], draws: int, seed: int) -> pd.DataFrame:
    """The path in its first components, one row per (component, step), step 0 being the base.

    Args:
        gram: of the run.
        names: tensors that are taken together.
        draws: random walks with the same step lengths.
        seed: of the walks.

    Columns: component, from 1; explained, its share of the variance; null_q05, null_q50, null_q95
    and p, those of the walks' shares; step; coordinate, in units of weights; walk, that of the
    mean walk.

    Raises:
        MethodError: no checkpoint differs from the base.
    """
    total = total_gram(gram, names)
    count = min(COMPONENTS, len(total))
    path, explained = principal(total, count)
    walk, _ = principal(expected_walk(total), count)
    shares = principal(walk_grams(total, draws, seed), count)[1]
    steps, parts = [0, *gram.steps], []
    for k in range(count):
        null = Null("random-walk", shares[:, k])
        numbers = [float(explained[k]), *np.quantile(null.draws, [0.05, 0.5, 0.95])]
        head = dict(zip(COLUMNS, [k + 1, *numbers, null.p_value(numbers[0])], strict=False))
        points = {"step": steps, "coordinate": path[:, k], "walk": walk[:, k]}
        parts.append(pd.DataFrame(points).assign(**head))
    return pd.concat(parts, ignore_index=True)[COLUMNS]
