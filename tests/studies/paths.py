"""Simulated runs for the audit: what honest runs of many kinds look like, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from alpharl.spectra.gram import Gram

DIMENSIONS = (2, 5, 20, 200, 2000)
"""Dimensions that updates live in."""


@dataclass(frozen=True)
class Draw:
    """What a kind of run is drawn with."""

    rng: np.random.Generator
    count: int
    dimensions: int

    def noise(self, count: int | None = None) -> np.ndarray:
        """Independent rows (count, d) of expected length 1."""
        size = (self.count if count is None else count, self.dimensions)
        return self.rng.standard_normal(size) / self.dimensions**0.5

    def direction(self, length: float = 1.0) -> np.ndarray:
        """A random vector (d,) of that length."""
        vector = self.rng.standard_normal(self.dimensions)
        return length * vector / np.linalg.norm(vector)

    def correlated(self, cosine: float, count: int | None = None) -> np.ndarray:
        """Rows of an AR(1) process: neighbours have this cosine in expectation."""
        rows = self.noise((self.count if count is None else count) + 20)
        for i in range(1, len(rows)):
            rows[i] = cosine * rows[i - 1] + (1 - cosine**2) ** 0.5 * rows[i]
        return rows[20:]

    def drifting(self, cosine: float) -> np.ndarray:
        """Increments with a drift that gives neighbours this cosine in expectation."""
        return self.noise() + self.direction((cosine / (1 - cosine)) ** 0.5)


Kind = Callable[[Draw], np.ndarray]
"""A path's points (count, d) at equally many steps from each other."""


def _scaled(increments: np.ndarray, first: float, last: float) -> np.ndarray:
    lengths = np.geomspace(first, last, len(increments))
    return np.cumsum(increments * lengths[:, None], axis=0)


def _spectrum(draw: Draw, cosine: float) -> np.ndarray:
    """Variances that fall as 1/k."""
    increments = draw.correlated(cosine) / np.arange(1, draw.dimensions + 1) ** 0.5
    return np.cumsum(increments, axis=0)


def _swing(draw: Draw, width: float, drift: float, away: float) -> np.ndarray:
    """To and fro between two places, which drift, or stand away from the base."""
    steps = np.arange(1, draw.count + 1)[:, None]
    swing = (-1.0) ** steps * draw.direction(width)
    return draw.direction(away) + swing + steps * draw.direction(drift) + 0.5 * draw.noise()


def _settling(draw: Draw, cosine: float) -> np.ndarray:
    """A run that goes on, and wanders about the place that it has reached from some step on."""
    turn = int(draw.rng.integers(1, draw.count))
    way = np.cumsum(draw.drifting(cosine)[:turn], axis=0)
    return np.concatenate([way, way[-1] + draw.noise(draw.count - turn)])


def _saturating(draw: Draw, noise: float) -> np.ndarray:
    """A line that is gone along ever more slowly, next to a walk."""
    share = 1 - np.exp(-np.arange(1, draw.count + 1) / draw.count / 0.3)
    return share[:, None] * draw.direction() + noise * np.cumsum(draw.noise(), axis=0)


def _stored_coarsely(draw: Draw) -> np.ndarray:
    """A saturating run whose weights are rounded when they are saved."""
    share = 1 - np.exp(-np.arange(1, draw.count + 1) / draw.count / 0.25)
    return draw.count * share[:, None] * draw.direction() + draw.noise()


def _warmed_up(draw: Draw, increments: np.ndarray) -> np.ndarray:
    """Ten times as long after a fifth of the run, and then down to a hundredth."""
    lengths = np.interp(np.arange(draw.count), [0, 0.2 * draw.count, draw.count], [0.1, 1.0, 0.01])
    return np.cumsum(increments * lengths[:, None], axis=0)


CLEAN: dict[str, Kind] = {
    "driftless walk": lambda d: np.cumsum(d.noise(), axis=0),
    "drift, cosine 0.05": lambda d: np.cumsum(d.drifting(0.05), axis=0),
    "drift, cosine 0.3": lambda d: np.cumsum(d.drifting(0.3), axis=0),
    "drift, cosine 0.7": lambda d: np.cumsum(d.drifting(0.7), axis=0),
    "momentum, cosine 0.5": lambda d: np.cumsum(d.correlated(0.5), axis=0),
    "momentum, cosine 0.9": lambda d: np.cumsum(d.correlated(0.9), axis=0),
    "against itself, cosine -0.3": lambda d: np.cumsum(d.correlated(-0.3), axis=0),
    "1/k spectrum": lambda d: _spectrum(d, 0.0),
    "1/k spectrum, cosine 0.5": lambda d: _spectrum(d, 0.5),
    "plateau, cosine -0.5": lambda d: d.direction(3) + d.noise(),
    "plateau at the base": lambda d: d.noise(),
    "slow plateau": lambda d: d.direction(3) + d.correlated(0.5),
    "swing, cosine near -1": lambda d: _swing(d, 3, 0, 0),
    "swing that drifts": lambda d: _swing(d, 3, 0.3, 0),
    "narrow swing that drifts": lambda d: _swing(d, 0.7, 0.3, 0),
    "swing away from the base": lambda d: _swing(d, 3, 0, 6),
    "lengths fall 100-fold": lambda d: _scaled(d.noise(), 1, 0.01),
    "lengths fall 100-fold, drift": lambda d: _scaled(d.drifting(0.3), 1, 0.01),
    "lengths grow 100-fold": lambda d: _scaled(d.noise(), 0.01, 1),
    "warm-up and decay, drift": lambda d: _warmed_up(d, d.drifting(0.3)),
    "warm-up and decay, momentum": lambda d: _warmed_up(d, d.correlated(0.5)),
    "saturating": lambda d: _saturating(d, 0.05),
    "saturating, noisy": lambda d: _saturating(d, 0.2),
    "settling": lambda d: _settling(d, 0.7),
    "stored coarsely": _stored_coarsely,
}
"""Kinds of honest runs."""
UNEVEN = ("driftless walk", "drift, cosine 0.3", "momentum, cosine 0.9", "plateau, cosine -0.5")
"""Kinds that are drawn with uneven steps too."""


def drawn(
    kind: str, rng: np.random.Generator, count: int, dimensions: int, uneven: bool = False
) -> tuple[list[int], np.ndarray]:
    """Steps and updates (count, d) of a run."""
    gaps = rng.choice([1, 1, 1, 2, 5], count) if uneven else np.ones(count, np.int64)
    at = np.cumsum(gaps)
    points = CLEAN[kind](Draw(rng, int(at[-1]), dimensions))
    return (10 * at).tolist(), points[at - 1]


def gram_of(steps: list[int], points: np.ndarray, tensors: int = 1) -> Gram:
    """The gram of so many tensors, which hold equally many of the points' dimensions each."""
    parts = np.split(points, tensors, axis=1)
    return Gram(steps, {f"weights-{i}": part @ part.T for i, part in enumerate(parts)})
