"""`effopd`: a guarded line search along the last gap (EffOPD, arXiv 2605.11739).

Released code, for on-policy distillation: at steps that are powers of two, d is the way from the
weights accepted at the power before; attention and MLP move on by 2 d for as long as the validation
score rises, five times at most, and the first failure is rolled back. Here the search runs once, at
the window's end. The target step plays no part: how far to go is what validation decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from alpharl.bounds import Draws
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import Method
from alpharl.forecasting.weight_extrapolation import earlier_step
from alpharl.steps import Step

MOVE = 2.0
"""Length of one trial's move, in gaps."""
_BODY = re.compile(r"\.(?:self_attn|attention|mlp|feed_forward|block_sparse_moe)\.")


class EffOPD(Method):
    """A line search along the last gap, on while the validation score rises."""

    source = "EffOPD, arXiv 2605.11739, released code"
    needs = frozenset({"suite"})
    cost = "one validation score, and one more per trial"
    method: Literal["effopd"] = "effopd"
    first: Step | None = None
    """The step that the gap starts at; default: the saved step nearest half the window."""
    trials: Draws = 5
    """How many times the move may be lengthened."""

    def require_steps(self, steps: Sequence[int]) -> None:
        """Refuse `first` where it is no step of the window before the last."""
        earlier_step(steps, self.first)

    def forecast(self, window: Window) -> Prediction:
        """W(last) + 2 n (W(last) - W(first)), attention and MLP; n trials raised the score.

        Raises:
            MethodError: no validation suite, or `first` is not an observed step before the last.
        """
        first, validate = earlier_step(window.steps, self.first), window.need_validate()
        accepted = _moved(window, first, 0)
        scores = [float(validate(accepted).mean())]
        for trial in range(1, self.trials + 1):
            candidate = _moved(window, first, trial)
            scores.append(float(validate(candidate).mean()))
            if scores[-1] <= scores[-2]:
                break
            accepted = candidate
        accepted.fit["validation"] = scores
        return accepted


def _moved(window: Window, first: int, trials: int) -> Prediction:
    far = MOVE * trials
    moved, unmoved = {first: -far, window.last: 1.0 + far}, {window.last: 1.0}
    blend = {name: dict(moved if _BODY.search(name) else unmoved) for name in window.tensors}
    return Prediction(blend, fit={"first": first, "last": window.last, "gaps": far})
