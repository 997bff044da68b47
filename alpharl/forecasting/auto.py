"""`auto`: does what the verdict says. Ours.

Method, amplitude, and whether to forecast at all are chosen inside the window (see `trust`); where
nothing is supported it is the window's last checkpoint.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import Method, Reads
from alpharl.forecasting.trust import assess


class Auto(Method):
    """What the verdict on the window supports: a method, its amplitude, or the last checkpoint."""

    source = "ours"
    needs = frozenset({"gram", "scores"})
    cost = "rehearsals on the gram, and five validation scores unless trials is false"
    method: Literal["auto"] = "auto"
    trials: bool = True
    """Whether trial models are scored on the validation suite, which then decide."""

    @property
    def reads(self) -> frozenset[Reads]:
        """The validation suite too if there are trials."""
        return self.needs | {"suite"} if self.trials else self.needs

    def forecast(self, window: Window) -> Prediction:
        """The model of the verdict, which stands in the fit.

        Raises:
            MethodError: no gram; or trials are asked for, and there is no validation suite.
        """
        if self.trials:
            window.need_validate()
        verdict = assess(window if self.trials else replace(window, validate=None))
        return replace(verdict.prediction, fit={"verdict": verdict.as_json()})
