"""What a window says for or against a forecast, each number beside what it is read against."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from alpharl.dynamics.nulls import walk_grams
from alpharl.forecasting.candidates import Candidate, rehearse
from alpharl.forecasting.contract import Window
from alpharl.spectra.gram import Gram

ERROR = 0.75
"""Relative error of the rehearsals above which weights count as unpredictable."""
WALKS = 99
"""Random walks that a rehearsal is compared with."""
LEVEL = 0.05
"""Largest share of random walks that may be rehearsed as well."""
COSINE = 0.3
"""Least cosine between the ways of the window's two halves."""
LATE = 0.3
"""Share of the accuracy gained that must fall in the window's later half; a line has about half."""
GAINED = 0.1
"""Share of what the base gets wrong below which a gain is noise, and its course unknown."""
ROOM = 0.4
"""Largest share of what the base gets wrong that the last checkpoints may get right already."""


@dataclass(frozen=True)
class Evidence:
    """One number, and whether it speaks for a forecast."""

    name: str
    value: float
    """nan where it is not known."""
    speaks_for: bool
    text: str

    def as_json(self) -> dict[str, Any]:
        """JSON knows no nan: null."""
        return asdict(self) | {"value": None if np.isnan(self.value) else self.value}


def holdout(best: Candidate) -> Evidence:
    """How far rehearsed forecasts were from trained weights, 1 being as far as staying put."""
    value = float(np.mean([test.relative_error for test in best.tests]))
    reach = max(test.reach for test in best.tests)
    text = (
        f"rehearsed inside the window up to {reach:.2g} times the origin's step, {best.label} has "
        f"an error of {value:.2f} (staying put: 1; at most {ERROR} counts as predictable)"
    )
    return Evidence("hold-out", value, value <= ERROR, text)


def walks(window: Window, best: Candidate) -> Evidence:
    """Share of driftless random walks, of the same step lengths, that are rehearsed as well."""
    drawn = walk_grams(window.need_gram().total(window.tensors), WALKS, seed=0)
    null = [_walk_skill(window, best.label, gram) for gram in drawn]
    p = (1 + sum(skill >= best.skill for skill in null)) / (1 + WALKS)
    text = (
        f"its move holds {best.skill:.2f} of the way's square; a random walk with the same step "
        f"lengths {np.median(null):.2f} (p = {p:.2g})"
    )
    return Evidence("random walk", p, p <= LEVEL, text)


def _walk_skill(window: Window, label: str, gram_tt: np.ndarray) -> float:
    walk = replace(window, tensors=["walk"], gram=Gram(window.steps, {"walk": gram_tt}))
    return rehearse(walk, label).skill


def rotation(window: Window) -> Evidence:
    """Cosine between the ways of the window's two halves; driftless walks have 0."""
    products = window.need_gram().total(window.tensors)
    steps, total = [0, *window.steps], np.pad(products, ((1, 0), (1, 0)))
    middle = min(range(len(steps)), key=lambda i: abs(steps[i] - window.last / 2))
    early, later = np.zeros(len(steps)), np.zeros(len(steps))
    early[[0, middle]] = -1.0, 1.0
    later[[middle, -1]] = -1.0, 1.0
    norms = np.sqrt((early @ total @ early) * (later @ total @ later))
    value = float(early @ total @ later / norms) if norms > 0 else 0.0
    text = (
        f"the ways of the window's two halves have a cosine of {value:.2f} (a line 1, a driftless "
        f"walk 0; below {COSINE} the direction turns too fast)"
    )
    return Evidence("rotation", value, value >= COSINE, text)


def accuracy(window: Window) -> list[Evidence]:
    """How much room is left in validation accuracy, and whether it levels off; nothing without."""
    known = {step: a for step, a in (window.accuracy or {}).items() if step <= window.last}
    if len(known) < 3 or window.last not in known:
        return []
    steps = sorted(known)
    values = np.array([known[step] for step in steps])
    start, end = float(values[0]), float(values[-2:].mean())
    room = _room("the base" if steps[0] == 0 else f"step {steps[0]}", start, end)
    if room.value < GAINED or start == 1:
        return [room]
    return [room, _levelling(start, float(np.interp(window.last / 2, steps, values)), end)]


def _levelling(start: float, middle: float, end: float) -> Evidence:
    """What the later half of the window added, as a share of what was gained."""
    late = (end - middle) / (end - start)
    text = (
        f"of the validation accuracy gained ({start:.3f} to {end:.3f}), {late:.0%} came in the "
        f"window's later half (a line: about half; below {LATE:.0%} it levels off)"
    )
    return Evidence("levelling off", late, late >= LATE, text)


def _room(first: str, start: float, end: float) -> Evidence:
    """The share of what the base, or the first known step, got wrong that is right at the end."""
    used = (end - start) / (1 - start) if start < 1 else 1.0
    text = (
        f"the last checkpoints got right {used:.0%} of what {first} got wrong (above {ROOM:.0%} "
        f"little is left to forecast; below -{GAINED:.0%} training does harm)"
    )
    return Evidence("room", used, -GAINED <= used <= ROOM, text)
