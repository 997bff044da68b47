"""Which checkpoint most tensors take for another run's.

A run of the same recipe draws much the same path, and the path of the whole model hardly shows one
of its steps. But every tensor is a look at that step, and what chance does to one tensor it does
not do to most. So each tensor names the steps that are odd in it, and they vote.

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

TENSORS = 40
"""Fewest that can vote: so many seldom agree by chance."""
SHARE = 0.4
"""Share of them that has to agree. Less than 1/3 did in the right runs that it was chosen on."""
STEPS = 2.5
"""The share is this over the number of checkpoints at least, where that is more: a few checkpoints
leave tensors few steps to disagree on."""
NEARBY = 3
"""Points before and after that a point is compared with: a run changes its ways."""
OUT = 0.02
"""Least logarithm of the ratio of a first point's distance from a line to those of all of these.
It is as much more for later points as there are before: runs move away from each other."""
FAR = 0.3
"""Most that is asked for. A point that is far off takes those next to it half as far: log 2."""
EVEN = 2
"""Most that the numbers of steps between points differ as a factor, or distances tell nothing."""
ALIKE = 0.1
"""Least cosine of increments that are alike: those of a walk are not, and tell nothing."""
LESS = (0.03, 0.06)
"""Least differences of c13 c24 from c12 c34, and from c14 c23, which is less regular."""


def outvoted(paths: Iterable[Path]) -> int | None:
    """The point that most of the tensors that move and can tell take for another run's.

    Args:
        paths: of each tensor, through the same points.
    """
    voters = [path for path in paths if path.products.any()]
    if len(voters) < TENSORS or voters[0].last < FEWEST:
        return None
    votes = Counter(point for path in voters for point in _odd(path))
    share = max(SHARE, STEPS / voters[0].last)
    enough = [point for point, count in votes.items() if count > share * len(voters)]
    return max(enough, key=votes.__getitem__, default=None)


def _odd(path: Path) -> Iterator[int]:
    """Points that are odd in a tensor."""
    for point in _torn(path.cosines):
        first, end = max(0, point - 1 - NEARBY), point + NEARBY
        even = _is_even(path.steps[first : end + 2])
        if even and _exceeds(path.offsets[first:end], point - 1 - first, min(OUT * point, FAR)):
            yield point
    if _is_even(path.steps) and _exceeds(path.leads, -1, OUT):
        aside = path.leads + np.log(path.pace[:-1])
        if _exceeds(aside, -1, OUT):
            yield path.last


def _is_even(steps: np.ndarray) -> bool:
    gaps = np.diff(steps)
    return bool(gaps.max() <= EVEN * gaps.min())


def _exceeds(values: np.ndarray, at: int, by: float) -> bool:
    others = values.copy()
    others[at] = -np.inf
    return bool(values[at] > others.max() + by)


def _torn(cosines: np.ndarray) -> set[int]:
    """Inner points near which increments are less alike than others that are farther apart."""
    first = np.arange(len(cosines) - 3)
    c = {(i, j): cosines[first + i - 1, first + j - 1] for j in range(2, 5) for i in range(1, j)}
    far = c[1, 3] * c[2, 4]
    less = (far - c[1, 2] * c[3, 4] > LESS[0]) | (far - c[1, 4] * c[2, 3] > LESS[1])
    torn = first[less & (np.minimum(c[1, 3], c[2, 4]) > ALIKE)]
    return {int(at) + point for at in torn for point in (1, 2, 3)}
