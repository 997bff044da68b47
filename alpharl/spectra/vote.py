"""Which checkpoint most tensors take for another run's.

A run of the same recipe draws much the same path, and the path of the whole model hardly shows one
of its steps. But every tensor is a look at that step, and what chance does to one tensor it does
not do to most. So each tensor names the step that is odd in it, and a majority decides.

Increments of a run are the less alike the farther apart they are. A step of another run breaks
that: it lacks what chance added to this run, so the increments to it and from it go against each
other, and are less alike than increments that are farther apart. Of four increments in a row with
cosines c, a run has c12 c34 >= c13 c24, however its lengths and directions change: as it drifts,
wanders, settles or swings. c13 c24 and c14 c23 are about the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from alpharl.spectra.order import FEWEST
from alpharl.spectra.path import Path

TENSORS = 20
"""Fewest that can vote. No majority of so many comes about by chance."""
LEAST = 0.03
"""Least difference that counts: of logarithms of distances, and of products of two cosines."""
ALIKE = 0.1
"""Least cosine of increments that are alike: those of a walk are not, and tell nothing."""


def outvoted(paths: Iterable[Path]) -> int | None:
    """The point that more than half of the tensors that move take for another run's.

    Args:
        paths: of each tensor, through the same points.
    """
    voters = [path for path in paths if path.products.any()]
    if len(voters) < TENSORS or voters[0].last < FEWEST:
        return None
    votes = Counter(point for path in voters for point in _odd(path))
    most = [point for point, count in votes.items() if count > len(voters) / 2]
    return max(most, key=votes.__getitem__, default=None)


def _odd(path: Path) -> Iterator[int]:
    """Points that are odd in a tensor: an inner one, and the last one."""
    point = int(path.offsets.argmax()) + 1
    if _exceeds(path.offsets, point - 1) and point in _torn(path.cosines):
        yield point
    aside = path.leads + np.log(path.pace[:-1])
    if _exceeds(path.leads, -1) and _exceeds(aside, -1):
        yield path.last


def _exceeds(values: np.ndarray, at: int) -> bool:
    return bool(values[at] > np.delete(values, at).max() + LEAST)


def _torn(cosines: np.ndarray) -> set[int]:
    """Inner points near which increments are less alike than others that are farther apart."""
    first = np.arange(len(cosines) - 3)
    c = {(i, j): cosines[first + i - 1, first + j - 1] for j in range(2, 5) for i in range(1, j)}
    far, near = c[1, 3] * c[2, 4], np.minimum(c[1, 2] * c[3, 4], c[1, 4] * c[2, 3])
    torn = first[(far - near > LEAST) & (np.minimum(c[1, 3], c[2, 4]) > ALIKE)]
    return {int(at) + point for at in torn for point in (1, 2, 3)}
