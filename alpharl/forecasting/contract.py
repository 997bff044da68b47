"""What a forecaster sees and what it returns. It never touches weights.

A method takes a window and returns a prediction. The window holds only what was known by
its last step, so a fit cannot see a later checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from alpharl.errors import MethodError
from alpharl.forecasting.target import step_reaching
from alpharl.spectra.gram import Gram
from alpharl.spectra.lowrank import Factors, LowRank

Blend = dict[str, dict[int, float]]
"""Per tensor, the weight of each observed step's update; a tensor left out stays at base."""


@dataclass(frozen=True)
class Window:
    """The early part of a run that a method may use."""

    steps: list[int]
    """Observed steps, increasing, without the base."""
    target_step: int | None
    """The step to forecast; None where the target is an accuracy."""
    tensors: list[str]
    """Names of all tensors of the model."""
    gram: Gram | None = None
    """Inner products between the window's updates, per tensor."""
    factors: Mapping[int, Mapping[str, Factors]] | None = None
    """Factors per observed step, per matrix."""
    accuracy: Mapping[int, float] | None = None
    """Validation accuracy per step; the base's (step 0) may be among them."""
    validate: Callable[[Prediction], np.ndarray] | None = None
    """Outcomes (n,) of a trial model on the validation suite's questions, 1 where it is right:
    builds and runs the model, so each call costs."""
    target_accuracy: float | None = None
    """The validation accuracy to forecast, where the target is no step."""

    @property
    def last(self) -> int:
        """The last observed step."""
        return self.steps[-1]

    def need_target_step(self) -> int:
        """The step to forecast; for an accuracy, the one at which it should be reached.

        Raises:
            MethodError: a step has no accuracy, or there is no target.
            UndefinedForecast: no later step should reach the accuracy.
        """
        if self.target_step is not None:
            return self.target_step
        if self.target_accuracy is None:
            raise MethodError("found no target, expected a step or an accuracy; give one")
        return step_reaching(self.target_accuracy, self.steps, self.need_accuracy())

    def need_gram(self) -> Gram:
        """The gram of exactly the window's steps."""
        if self.gram is None:
            raise MethodError("found no gram, expected one over the window; make it first")
        return self.gram.upto(self.steps)

    def need_factors(self, rank: int = 1) -> Mapping[int, Mapping[str, Factors]]:
        """The factors of exactly the window's steps.

        Raises:
            MethodError: a step has none, or a matrix fewer triplets than `rank`.
        """
        if self.factors is None or any(step not in self.factors for step in self.steps):
            raise MethodError("found no factors for all of the window's steps; make them first")
        for step in self.steps:
            for name, factors in self.factors[step].items():
                stored = len(factors.low.s)
                if stored < min(rank, len(factors.low.u), len(factors.low.v)):
                    raise MethodError(
                        f"{name}: found {stored} triplets at step {step}, expected {rank}; factor "
                        "again with at least that"
                    )
        return {step: self.factors[step] for step in self.steps}

    def need_accuracy(self) -> np.ndarray:
        """Validation accuracies (T,) of the window's steps, without the base.

        Raises:
            MethodError: a step has none.
        """
        known = self.accuracy or {}
        missing = [step for step in self.steps if step not in known]
        if missing:
            raise MethodError(
                f"found no validation accuracy for steps {missing}; this method needs one per "
                "observed checkpoint, give a table with the columns step,accuracy"
            )
        return np.array([known[step] for step in self.steps])

    def need_validate(self) -> Callable[[Prediction], np.ndarray]:
        """What scores trial models.

        Raises:
            MethodError: there is no validation suite.
        """
        if self.validate is None:
            raise MethodError(
                "found no validation suite; this method scores trial models, give one (--suite, or "
                "trials= in Python)"
            )
        return self.validate


@dataclass(frozen=True)
class LogitsLine:
    """(1 - beta) l_a + beta l_b: a line through two models' logits, which no weights stand for."""

    a: int
    """Step of the earlier checkpoint."""
    b: int
    """Step of the later one."""
    beta: float


@dataclass(frozen=True)
class Prediction:
    """A predicted update: the sum of a blend of observed updates and a low-rank part.

    Or, with `logits`, no update at all but two observed models and how to mix what they say.
    """

    blend: Blend = field(default_factory=dict)
    adapter: dict[str, LowRank] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    """What was fitted, for the report and for people: JSON-ready."""
    logits: LogitsLine | None = None

    def scaled(self, amplitude: float) -> Prediction:
        """The whole predicted update times a number; what was fitted stays as it was.

        Raises:
            MethodError: there is no update but a line through logits, and the number is not 1.
        """
        if self.logits and amplitude != 1:
            raise MethodError(
                f"found amplitude {amplitude:g} for a line through logits, expected 1; it has no "
                "update to scale"
            )
        blend = {n: {s: amplitude * w for s, w in row.items()} for n, row in self.blend.items()}
        adapter = {name: low.scaled(amplitude) for name, low in self.adapter.items()}
        return replace(self, blend=blend, adapter=adapter)


def norm_ratio(window: Window, prediction: Prediction) -> float | None:
    """|predicted update| / |last observed update| over the predicted tensors.

    None where the files at hand do not determine it: a blend without gram, or a blend and an
    adapter on the same tensor; and for logits, which have no update.
    """
    if prediction.blend and not prediction.adapter and window.gram is not None:
        gram, last = window.need_gram(), len(window.steps) - 1
        squares = [_blend_square(gram, name, w) for name, w in prediction.blend.items()]
        observed = [gram.tensors[name][last, last] for name in prediction.blend]
    elif prediction.adapter and not prediction.blend:
        norms = window.need_factors()[window.last]
        squares = [float(np.sum(np.square(low.s))) for low in prediction.adapter.values()]
        observed = [norms[name].norm ** 2 for name in prediction.adapter]
    else:
        return None
    return float(np.sqrt(sum(squares) / sum(observed))) if sum(observed) > 0 else None


def _blend_square(gram: Gram, name: str, weights: Mapping[int, float]) -> float:
    vector = np.array([weights.get(step, 0.0) for step in gram.steps])
    return float(vector @ gram.tensors[name] @ vector)
