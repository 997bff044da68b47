"""`expo`: further along the last update (ExPO, arXiv 2404.16792, section 2)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from alpharl.bounds import MOST_LISTED
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import Method, Multiple, Reads


class Expo(Method):
    """Base + (1 + alpha) times the window's last update."""

    source = "ExPO, arXiv 2404.16792"
    cost = "nothing; with alpha: validation, a validation score for each value of the grid"
    method: Literal["expo"] = "expo"
    alpha: Multiple | Literal["validation"] = 0.5
    """How far to go past the last checkpoint, in units of its own update; `validation`: the value
    of `grid` whose model scores best on the validation suite."""
    grid: list[Multiple] = Field(
        default=[0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0], min_length=1, max_length=MOST_LISTED
    )
    """Values that `validation` chooses from; of equal scores the smallest counts."""

    @property
    def reads(self) -> frozenset[Reads]:
        """The validation suite if alpha is chosen on it."""
        return frozenset({"suite"} if self.alpha == "validation" else ())

    def forecast(self, window: Window) -> Prediction:
        """W(0) + (1 + alpha) (W(last) - W(0)), all tensors, one global alpha.

        Raises:
            MethodError: alpha is chosen on validation, and there is no suite for it.
        """
        if self.alpha != "validation":
            return _extended(window, self.alpha)
        validate = window.need_validate()
        scores = {a: float(validate(_extended(window, a)).mean()) for a in sorted(set(self.grid))}
        best = max(scores, key=lambda alpha: (scores[alpha], -alpha))
        prediction = _extended(window, best)
        prediction.fit.update(alpha=best, validation=scores)
        return prediction


def _extended(window: Window, alpha: float) -> Prediction:
    weights = {window.last: 1.0 + alpha}
    return Prediction(
        blend={name: dict(weights) for name in window.tensors}, fit={"weights": weights}
    )
