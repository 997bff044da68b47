"""Which checkpoint most tensors take for another run's.

A run of the same recipe draws much the same path, and the path of the whole model hardly shows one
of its steps. But every tensor is a look at that step, and what chance does to one tensor it does
not do to most. So each tensor names the steps that are odd in it, and they vote.

A step of another run lacks what chance added to this run so far. So the increment from it makes up
for the increment to it: what they share with the increments around them aside, the two go against
each other. That is their partial correlation, given the increments near them. In a run that goes
on, that of neighbours is the largest of all, however its lengths and directions change: as it
drifts, wanders, settles or swings.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from alpharl.spectra.order import FEWEST
from alpharl.spectra.path import Path

TENSORS = 40
"""Fewest that can vote: so many seldom agree by chance."""
SHARE = 0.5
"""Share of them that has to agree: most. Of right runs that were trained, with five checkpoints or
more, at most 0.42 did."""
STEPS = 2.5
"""The share is this over the number of checkpoints at least, where that is more: a last step of
four is compared with only two others."""
NEARBY = 4
"""Increments to a point and from it that tell what is usual there: a run changes its ways."""
BACK = 0.1
"""Partial correlation of the increments to a point and from it, below which it is odd."""
LESS = 0.2
"""Least difference from those of all points near it."""
ALIKE = 0.1
"""Least cosine of one of them with the next but one: those that share nothing tell nothing."""
RIDGE = 1e-6
"""Keeps increments in few dimensions apart."""
OUT = 0.02
"""Least logarithm of the ratio of the last point's distance from a line to those of all others."""
EVEN = 2
"""Most that the numbers of steps between points differ as a factor, or distances tell nothing."""


def outvoted(paths: Iterable[Path]) -> int | None:
    """The point that most of the tensors that move and can tell take for another run's.

    Args:
        paths: of each tensor, through the same points.
    """
    voters = [path for path in paths if path.products.any()]
    if len(voters) < TENSORS or voters[0].last < FEWEST:
        return None
    steps, last = voters[0].steps, voters[0].last
    cosines = np.clip([path.cosines for path in voters], -1, 1)
    inner = [np.mean(_turns_back(steps, cosines, point)) for point in range(1, last)]
    votes = [0.0, *inner, np.mean([_leaves(path) for path in voters])]
    point = int(np.argmax(votes))
    return point if votes[point] > max(SHARE, STEPS / last) else None


def _turns_back(steps: np.ndarray, cosines: np.ndarray, point: int) -> np.ndarray:
    """Whether the increments to an inner point and from it go against each other.

    Args:
        steps: of the points (N,).
        cosines: between the increments of each tensor (B, N-1, N-1).
        point: index.

    Returns:
        For each tensor (B,).
    """
    first, end = max(0, point - NEARBY), point + NEARBY
    if not _is_even(steps[first : end + 1]):
        return np.zeros(len(cosines), bool)
    turns, at = _partial_turns(cosines[:, first:end, first:end]), point - 1 - first
    turn, least = turns[:, at], np.delete(turns, at, axis=1).min(axis=1)
    beyond = np.diagonal(cosines, 2, 1, 2)[:, max(0, point - 2) : point].max(axis=1)
    back: np.ndarray = (turn < BACK) & (least - turn > LESS) & (beyond > ALIKE)
    return back


def _partial_turns(cosines: np.ndarray) -> np.ndarray:
    """Partial correlations (B, n-1) of neighbours among n increments, given all others."""
    inverse = np.linalg.inv(cosines + RIDGE * np.eye(cosines.shape[1]))
    scale = np.sqrt(np.abs(np.diagonal(inverse, 0, 1, 2)))
    turns: np.ndarray = -np.diagonal(inverse, 1, 1, 2) / (scale[:, :-1] * scale[:, 1:])
    return turns


def _leaves(path: Path) -> bool:
    """Whether the last point is off the line of the increment before, as no other is."""
    if not _is_even(path.steps) or not _exceeds(path.leads):
        return False
    return _exceeds(path.leads + np.log(path.pace[:-1]))


def _is_even(steps: np.ndarray) -> bool:
    gaps = np.diff(steps)
    return bool(gaps.max() <= EVEN * gaps.min())


def _exceeds(values: np.ndarray) -> bool:
    return bool(values[-1] > values[:-1].max() + OUT)
