"""Made-up trajectories whose later weights are known, dense in float64, and windows on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.trust import Verdict
from alpharl.spectra.gram import Gram

NAMES = {"model.layers.0.mlp.up_proj.weight": 300, "model.norm.weight": 40}
"""Tensors and their numbers of parameters."""
SIZE = sum(NAMES.values())
STEPS, TARGET = [10, 20, 30, 40, 50, 60, 70, 80], 160
_RNG = np.random.default_rng(0)
_ONE, _OTHER = np.linalg.qr(_RNG.standard_normal((SIZE, 2)))[0].T
_NOISE = {step: _RNG.standard_normal(SIZE) / np.sqrt(SIZE) for step in (*STEPS, TARGET)}

Path = Callable[[float], np.ndarray]
"""The update (d,) of all tensors together, by step."""


def line(step: float) -> np.ndarray:
    return step * _ONE


def noisy_line(step: float, noise: float = 8.0) -> np.ndarray:
    """A line, and at each checkpoint independent noise as long as `noise` steps of it."""
    return step * _ONE + noise * _NOISE[int(step)]


def saturating(step: float, rate: float = 40.0) -> np.ndarray:
    """Straight on, but slower and slower: half of the way that is left in 0.7 `rate` steps."""
    return rate * (1 - np.exp(-step / rate)) * _ONE


def rotating(step: float, turn: float = np.pi) -> np.ndarray:
    """A circle; `turn`: by which angle it turns in 80 steps."""
    angle = turn * step / 80
    return 80 / turn * (np.sin(angle) * _ONE + (1 - np.cos(angle)) * _OTHER)


def turned(step: float, at: float = 40) -> np.ndarray:
    """One direction up to a step, another one after it."""
    return min(step, at) * _ONE + max(step - at, 0) * _OTHER


def walk(seed: int, steps: list[int], size: int = 2000) -> Path:
    """A random walk without drift that moves on at each of the steps."""
    rows = np.cumsum(np.random.default_rng(seed).standard_normal((len(steps), size)), 0)
    return lambda step: rows[steps.index(int(step))]


def window_of(
    path: Path,
    steps: list[int] = STEPS,
    target: int = TARGET,
    accuracy: Mapping[int, float] | None = None,
    validate: Callable[[Prediction], np.ndarray] | None = None,
) -> Window:
    """A window on a path, cut into the tensors of `NAMES`, whose gram NumPy makes."""
    rows = np.stack([path(step) for step in steps])
    parts = np.split(rows, np.cumsum(list(NAMES.values()))[:-1], axis=1)
    gram = Gram(list(steps), {n: p @ p.T for n, p in zip(NAMES, parts, strict=True)})
    return Window(list(steps), target, list(NAMES), gram, accuracy=accuracy, validate=validate)


def blended(prediction: Prediction, path: Path) -> np.ndarray:
    """What a blend stands for, all tensors together."""
    ends = np.cumsum([0, *NAMES.values()])
    found = np.zeros(len(path(STEPS[0])))
    for name, a, b in zip(NAMES, ends, [*ends[1:-1], len(found)], strict=False):
        for step, weight in prediction.blend[name].items():
            found[a:b] += weight * path(step)[a:b]
    return found


def error(prediction: Prediction, path: Path, target: int = TARGET, last: int = 80) -> float:
    """Distance to the true update at the target; the last checkpoint has 1."""
    away = np.linalg.norm(blended(prediction, path) - path(target))
    return float(away / np.linalg.norm(path(last) - path(target)))


def nearness(path: Path, where: int, last: int = 80) -> Callable[[Prediction], np.ndarray]:
    """In place of a suite: 200 questions, more of them right the nearer a model is to a step."""
    unit = np.linalg.norm(path(last)) or 1.0

    def validate(prediction: Prediction) -> np.ndarray:
        away = np.linalg.norm(blended(prediction, path) - path(where)) / unit
        return (away < np.linspace(0, 2, 200)).astype(float)

    return validate


def rising(steps: list[int] = STEPS, by: float = 0.3) -> dict[int, float]:
    """Accuracies that rise straight from 0.2."""
    return {step: 0.2 + by * step / steps[-1] for step in (0, *steps)}


def levelling(step: int) -> float:
    """Rises from 0.2 to 0.5 in the first half of the window, and stays."""
    return 0.2 + 0.3 * min(step / 40, 1)


WALKS = [(seed, 3 + seed) for seed in range(20)]
"""Twenty walks, of 3 to 22 checkpoints."""


def walk_window(seed: int, count: int, multiple: float = 2.0, **more) -> tuple[Path, Window]:
    steps = [10 * (i + 1) for i in range(count)]
    path = walk(seed, steps)
    window = window_of(path, steps, round(multiple * steps[-1]), rising(steps), **more)
    return path, window


def against(verdict: Verdict) -> set[str]:
    """Names of the evidence that speaks against a forecast."""
    return {e.name for e in verdict.evidence if not e.speaks_for}


def value(verdict: Verdict, name: str) -> float:
    return next(e.value for e in verdict.evidence if e.name == name)
