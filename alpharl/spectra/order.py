"""Whether checkpoints lie on their run's path in the order of their steps.

Runs differ: one goes straight, another turns back at every step and still is what its names say. So
a place is compared with the run's own behaviour elsewhere, never with a fixed cosine:

* Two swapped steps turn the path back twice, where it does not turn back elsewhere. Exchanged, they
  move on like all others.
* A misorder has a shorter path through the same points, which turns back nowhere.
* A stray step turns the path there and back, and without it the path moves on. Or it lies farther
  from the line through its neighbours than any other step does. Or what it adds to the steps before
  it is gone from those that follow, while all other steps hand that on.

A place differs if it does so by `LEVEL` spreads of the cosines between the run's increments. These
spread wide where updates live in few directions. `tests/studies/audit.py` measures what is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from alpharl.spectra.path import Path

FEWEST = 4
"""Checkpoints without which no order can be judged."""
LEVEL = 4.0
"""Spreads by which a place has to differ from what is usual."""
DOUBT = 8.0
"""The level rises by this over the number of differences that the spread is known from."""
LEAST_SPREAD = 0.06
"""No real run is stationary."""
SHARE = 2.0
"""A place has to differ from what is usual by this factor more than any other place."""
BACK = -0.3
"""A turn goes back if its cosine is below this."""
EVEN = 2.5
"""Most that the pace of an increment differs from its neighbours', as a factor."""
STEEP = 5.0
"""The same if the points' offsets tell that they are swapped."""
SHORTER = 1.05
"""Least ratio of the paths' lengths in the given and in a better order."""
ERRATIC = 2.0
"""Least ratio of the cosines' spreads in both orders."""
MERGED = 0.6
"""Least pace, of its neighbours', of the increment that leaves out a stray step."""
LONG = 0.8
"""Least pace, of the same, of the increments to a stray step and from it."""
OFFSET = 0.5
"""Levels by which a stray step's offset has to exceed the largest other one."""
SWAP_OFFSET = 0.3
"""The same of two swapped steps, which both stand out."""
CHANGE = 0.7
"""Share of the largest change from one offset to the next that has to be exceeded, too."""
LEAST_OFFSET_SPREAD = 0.03
"""Offsets of real runs are that regular: they do not depend on how far a run goes."""
CROSSED = 0.4
"""Least pace, of its neighbours', of the increment that leaves out a step with a large offset."""
ASIDE = 3.0
"""Spreads by which the last turn has to go back: a run may come to rest there."""
LED = 0.2
"""Least lead of a last increment that goes aside, being 0 for a right angle at an even pace."""
UNDONE = (1.2, -0.2)
"""Least pace, of the median, and most onward cosine of a last increment that undoes the way."""
JUMPED = (2.5, 0.25)
"""The same of a last increment that jumps aside."""

Kind = Literal["swapped", "misordered", "foreign"]


@dataclass(frozen=True)
class Misplaced:
    """Points of a path, the base being 0, that are not what their steps say."""

    kind: Kind
    points: list[int]
    """The foreign one; both swapped ones; of a misorder all after the base, in the better order."""


def misplaced(path: Path) -> Iterator[Misplaced]:
    """Points that are not where their steps put them; none if there are too few to tell.

    Several faults hide each other, except swaps of different neighbours.

    Args:
        path: of points that differ from each other.
    """
    if path.last < FEWEST:
        return
    found = _swapped(path) or _misordered(path) or _stray(path) or _stray_last(path)
    if found and found.kind == "misordered":
        yield from _as_swaps(found.points) or [found]
    elif found:
        yield found


def _swapped(path: Path) -> Misplaced | None:
    """The two neighbours whose exchange puts the path right most clearly."""
    best, clearest = None, 1.0
    for first in range(1, path.last):
        points = np.arange(path.last + 1)
        points[[first, first + 1]] = first + 1, first
        clear = _is_put_right(path, path.through(points), first)
        if clear > clearest:
            best, clearest = Misplaced("swapped", [first, first + 1]), clear
    return best


def _is_put_right(path: Path, right: Path, first: int) -> float:
    """Levels by which a path turns back at two points, if it moves on once they are exchanged.

    The turns tell most, but where there are few of them, and they change along the run, the points'
    offsets do.
    """
    at = np.arange(first, min(first + 2, path.last)) - 1
    turn, usual = float(path.turns[at].max()), right.usual(at[0]).turn
    if turn > BACK or right.turns[at].min() < (usual + turn) / 2:
        return 0.0
    gap = _gap(turn, np.delete(path.turns, at), usual)
    by_turn = gap / _level(right, at[0]) if _is_even(right.pace, first) else 0.0
    if path.is_flat or not _is_even(right.pace, first, STEEP):
        return by_turn
    offset, near = path.offsets[at].min(), right.offsets[max(0, first - 6) : first + 6]
    if offset < np.delete(path.offsets, at).max(initial=offset):
        return by_turn
    level = SWAP_OFFSET * _level(right, at[0], LEAST_OFFSET_SPREAD)
    return max(by_turn, float((offset - near.max()) / (level + _change(near))))


def _misordered(path: Path) -> Misplaced | None:
    """The order in which each point is the nearest to the one before, if that path is better."""
    points = _nearest_next(path)
    torn = _torn(points)
    if not len(torn):
        return None
    right = path.through(points)
    at = int(torn[path.turns[torn - 1].argmin()]) - 1
    turn, usual = float(path.turns[at]), right.usual(at)
    # A run that swings to and fro has a shorter path too, but it always swings alike.
    erratic = path.usual(at).spread > ERRATIC * max(usual.spread, LEAST_SPREAD)
    differs = usual.turn - turn > _level(right, at) and erratic
    moves_on = right.turns.min() >= max(BACK, (usual.turn + turn) / 2)
    shorter = path.lengths.sum() > SHORTER * right.lengths.sum()
    even = all(_is_even(right.pace, at) for at in range(1, len(right.pace)))
    if differs and moves_on and shorter and even:
        return Misplaced("misordered", points[1:].tolist())
    return None


def _nearest_next(path: Path) -> np.ndarray:
    square = np.diag(path.products)
    distance = square[:, None] + square - 2 * path.products
    points, left = [0], list(range(1, path.last + 1))
    while left:
        points.append(min(left, key=lambda point: float(distance[points[-1], point])))
        left.remove(points[-1])
    return np.array(points)


def _torn(points: np.ndarray) -> np.ndarray:
    """Inner points of the given path that lose a neighbour in the better order."""
    lost = np.flatnonzero(np.abs(np.diff(np.argsort(points))) != 1)
    torn = np.union1d(lost, lost + 1)
    return torn[(torn > 0) & (torn < len(points) - 1)]


def _as_swaps(order: list[int]) -> list[Misplaced]:
    """The exchanges of neighbours that an order consists of; nothing if it is more than that."""
    moved = [place for place, point in enumerate(order, start=1) if point != place]
    pairs = list(zip(moved[::2], moved[1::2], strict=False))
    if any(order[a - 1] != b or order[b - 1] != a or b != a + 1 for a, b in pairs):
        return []
    return [Misplaced("swapped", [a, b]) for a, b in pairs]


def _stray(path: Path) -> Misplaced | None:
    """The inner point that stands out most clearly."""
    best, clearest = None, 1.0
    for point in range(1, path.last):
        right = path.without(point)
        clear = max(
            _turns_there_and_back(path, right, point),
            _is_off_the_line(path, right, point),
            _is_not_handed_on(path, right, point),
        )
        if clear > clearest:
            best, clearest = Misplaced("foreign", [point]), clear
    return best


def _turns_there_and_back(path: Path, right: Path, point: int) -> float:
    """Levels by which the turn at a point differs, if the path moves on without the point."""
    turn, at = float(path.turns[point - 1]), max(0, point - 2)
    merged, beside = right.pace[point - 1], _beside(right.pace, point - 1)
    to_and_from = path.pace[point - 1 : point + 1].min()
    if turn > BACK or merged < MERGED * beside or to_and_from < LONG * beside:
        return 0.0
    usual = right.usual(at).turn
    if right.turns[at:point].min() < (usual + turn) / 2:
        return 0.0
    elsewhere = np.delete(path.turns, np.arange(at, min(point + 1, len(path.turns))))
    return _gap(turn, elsewhere, usual) / _level(right, at)


def _is_off_the_line(path: Path, right: Path, point: int) -> float:
    """Levels by which a point's offset exceeds those of all points near it.

    These are known where enough are left without the point, in more dimensions than they fill.
    """
    if right.last < FEWEST or path.is_flat:
        return 0.0
    turn, at = float(path.turns[point - 1]), max(0, point - 2)
    usual, near = right.usual(at), right.offsets[max(0, point - 6) : point + 4]
    moves_on = right.turns[at:point].min() >= (usual.turn + turn) / 2
    crosses = right.pace[point - 1] > CROSSED * _beside(right.pace, point - 1)
    may_rest = point == path.last - 1 and turn > -ASIDE * usual.spread
    if may_rest or not (moves_on and crosses):
        return 0.0
    level = OFFSET * _level(right, at, LEAST_OFFSET_SPREAD)
    return float((path.offsets[point - 1] - near.max()) / (level + _change(near)))


def _change(offsets: np.ndarray) -> float:
    """What the next offset may differ by."""
    return CHANGE * float(np.abs(np.diff(offsets)).max())


def _is_not_handed_on(path: Path, right: Path, point: int) -> float:
    """Levels by which less of a point's new part is handed on than elsewhere."""
    shares, at = path.handed_on, point - 1
    apart = np.abs(np.arange(len(shares)) - at)
    usual = float(np.median(shares[(apart > 1) & (apart <= 6)])) if apart.max() > 1 else 0.0
    # A small new part tells little: the next increment covers it with its own.
    weight = path.new[at] / max(path.lengths[point], path.new[at])
    gap = _gap(float(shares[at]), shares[apart > 1], usual)
    return float(weight * gap / _level(right, max(0, point - 2)))


def _stray_last(path: Path) -> Misplaced | None:
    """The last point, if it undoes the way so far, jumps aside, or leaves the run's line."""
    before = path.onward[:-1]
    if len(before) < 2:
        return None
    right, onward = path.without(path.last), float(path.onward[-1])
    pace = path.pace[-1] / np.median(path.pace[-6:-1])
    leaves = any(pace > least and onward < most for least, most in (UNDONE, JUMPED))
    gap = _gap(onward, before, float(np.median(before[-12:])))
    undoes = leaves and gap > _level(right, len(right.turns) - 1)
    return Misplaced("foreign", [path.last]) if undoes or _goes_aside(path, right) else None


def _goes_aside(path: Path, right: Path) -> bool:
    """Whether the last increment leaves the line of the one before as no other does."""
    lead, near, at = float(path.leads[-1]), right.leads[-10:], len(right.turns) - 1
    level = OFFSET * _level(right, at, LEAST_OFFSET_SPREAD)
    turns = right.usual(at).turn - path.turns[-1] > level
    return bool(
        not path.is_flat and turns and lead > LED and lead - near.max() > level + _change(near)
    )


def _level(right: Path, at: int, least: float = LEAST_SPREAD) -> float:
    """How far from what is usual a place has to be.

    Args:
        right: the path with the place put right.
        at: index of its turn there.
        least: spread of cosines that is taken at least.
    """
    usual = right.usual(at)
    return LEVEL * max(usual.spread, least) * (1 + DOUBT / usual.known_from)


def _gap(value: float, elsewhere: np.ndarray, usual: float) -> float:
    """How far below what is usual a value is; 0 if others are too, or if there are none."""
    gap = usual - value
    alone = len(elsewhere) > 0 and usual - elsewhere.min() <= gap / SHARE
    return gap if alone else 0.0


def _is_even(pace: np.ndarray, at: int, most: float = EVEN) -> bool:
    return bool(1 / most < pace[at] / _beside(pace, at) < most)


def _beside(pace: np.ndarray, at: int) -> float:
    """Geometric mean of the pace before and after an increment, or of the one that there is."""
    beside = [pace[i] for i in (at - 1, at + 1) if 0 <= i < len(pace)]
    return float(np.exp(np.mean(np.log(beside))))
