"""The path that a run's checkpoints draw from their base, as far as inner products tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

GROWTH = 0.75
"""Expected length of an increment: its number of steps to this power; 1 for a line and 1/2 for a
walk."""
NEARBY = 12
"""Increments that tell what is usual at a place: a run changes its ways."""
FLAT = 0.01
"""Share of an increment that is new where there is room for it."""
TINY = 1e-150
"""Keeps quotients of lengths finite."""


@dataclass(frozen=True)
class Usual:
    """What is usual near a place of a path."""

    turn: float
    """Median cosine between neighbouring increments."""
    spread: float
    """Spread of the cosines between increments that are equally far apart in time."""
    known_from: int
    """Differences that the spread is known from."""


@dataclass(frozen=True, eq=False)
class Path:
    """Points (N,) with the base first: their steps, and inner products (N, N) of their updates."""

    steps: np.ndarray
    products: np.ndarray

    @classmethod
    def of(cls, steps: Sequence[int], products: np.ndarray) -> Path:
        """The path of a run's T updates from its base.

        Args:
            steps: of the checkpoints (T,), increasing, without step 0.
            products: (T, T) inner products of the updates.
        """
        return cls(np.array([0, *steps]), np.pad(products, ((1, 0), (1, 0))))

    @property
    def last(self) -> int:
        """Index of the last point."""
        return len(self.steps) - 1

    def through(self, points: np.ndarray) -> Path:
        """The path through these points in this order, at the steps that they take up together."""
        return Path(self.steps[np.sort(points)], self.products[np.ix_(points, points)])

    def without(self, point: int) -> Path:
        """The path that leaves a point out."""
        return self.through(np.delete(np.arange(self.last + 1), point))

    @cached_property
    def lengths(self) -> np.ndarray:
        """Lengths (N-1,) of the increments."""
        lengths: np.ndarray = np.sqrt(np.clip(np.diag(self._increments), 0, None))
        return lengths

    @cached_property
    def pace(self) -> np.ndarray:
        """Lengths (N-1,) over what their numbers of steps let expect."""
        pace: np.ndarray = np.maximum(self.lengths / np.diff(self.steps) ** GROWTH, TINY)
        return pace

    @cached_property
    def cosines(self) -> np.ndarray:
        """Cosines (N-1, N-1) between the increments."""
        lengths = np.maximum(self.lengths, TINY)
        cosines: np.ndarray = self._increments / np.outer(lengths, lengths)
        return cosines

    @property
    def turns(self) -> np.ndarray:
        """Cosine (N-2,) between the increments to and from each inner point."""
        return np.diag(self.cosines, 1)

    @cached_property
    def offsets(self) -> np.ndarray:
        """Logarithm (N-2,) of each inner point's distance from the line through its neighbours.

        It is taken over the distance between the neighbours, and over what the numbers of steps
        let expect: it is the same all along a run that keeps its ways, however far it goes.
        """
        to, on = np.diag(self._increments)[:-1], np.diag(self._increments)[1:]
        along = np.diag(self._increments, 1)
        apart = np.maximum(to + on + 2 * along, TINY)
        aside = np.maximum(to * on - along**2, TINY) / apart**2
        before, after = np.diff(self.steps)[:-1], np.diff(self.steps)[1:]
        expected = before * after / (before + after) ** (1 + 2 * GROWTH)
        offsets: np.ndarray = np.log(aside / expected) / 2
        return offsets

    @cached_property
    def leads(self) -> np.ndarray:
        """Logarithm (N-2,) of each increment's distance from the line of the one before.

        It is taken over the length of that one, and over what the numbers of steps let expect.
        """
        to, on = np.diag(self._increments)[:-1], np.diag(self._increments)[1:]
        aside = np.maximum(on - np.diag(self._increments, 1) ** 2 / np.maximum(to, TINY), TINY)
        gaps = np.diff(self.steps)
        leads: np.ndarray = np.log(aside / np.maximum(to, TINY)) / 2
        return leads - GROWTH * np.log(gaps[1:] / gaps[:-1])

    @cached_property
    def new(self) -> np.ndarray:
        """Length (N-1,) of the part of each update that is orthogonal to all updates before it."""
        return np.diag(self._factor)

    @property
    def is_flat(self) -> bool:
        """Whether some updates lie in the space of those before: there is no room for more."""
        return bool((self.new < FLAT * self.lengths).any())

    @cached_property
    def handed_on(self) -> np.ndarray:
        """Share (N-2,) of each new part in the next two updates, the larger one; at most 1.

        1 for a walk; more, cut at 1, for a run that goes on in the direction; 0 for points that
        have nothing to do with each other.
        """
        shares = self._factor / self.new
        handed_on = np.diag(shares, -1).copy()
        handed_on[:-1] = np.maximum(handed_on[:-1], np.diag(shares, -2))
        return np.minimum(handed_on, 1.0)

    @cached_property
    def onward(self) -> np.ndarray:
        """Cosine (N-3,) of increments from the third on with the new parts of the updates before.

        0 for a walk, below 0 where the path undoes what it had added. The latest of these updates
        does not count: a path that merely wavers undoes its new part too.
        """
        moves, new = np.diff(self._factor, axis=0)[1:], self.new
        along = np.array([move[: k + 1] @ new[: k + 1] for k, move in enumerate(moves)])
        added = np.sqrt(np.cumsum(new**2))[: len(moves)]
        onward: np.ndarray = along / np.maximum(added * self.lengths[2:], TINY)
        return onward

    def usual(self, at: int) -> Usual:
        """The usual turn and spread near a place. A slow change of a run widens no spread.

        Args:
            at: index of a turn; the path has two of them at least.
        """
        first = max(0, min(at + 1 - NEARBY // 2, len(self.lengths) - NEARBY))
        near = self.cosines[first : first + NEARBY, first : first + NEARBY]
        # Along a diagonal of the matrix all pairs are equally far apart.
        change = (near[1:, 1:] - near[:-1, :-1])[np.triu_indices(len(near) - 1, 1)]
        spread = float(np.sqrt(np.mean(change**2) / 2))
        return Usual(float(np.median(np.diag(near, 1))), spread, len(change))

    @cached_property
    def _increments(self) -> np.ndarray:
        p = self.products
        increments: np.ndarray = p[1:, 1:] + p[:-1, :-1] - p[1:, :-1] - p[:-1, 1:]
        return increments

    @cached_property
    def _factor(self) -> np.ndarray:
        """Cholesky factor of the updates' products; the ridge is for updates in few dimensions."""
        products = self.products[1:, 1:]
        ridge = 1e-10 * np.trace(products) / len(products)
        factor: np.ndarray = np.linalg.cholesky(products + ridge * np.eye(len(products)))
        return factor
