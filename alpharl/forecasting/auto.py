"""`auto`: does what the verdict says. Ours.

Method, amplitude, and whether to forecast at all are chosen inside the window (see `trust`); where
nothing is supported it is the window's last checkpoint.
"""

from __future__ import annotations

from dataclasses import replace

from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.trust import assess
from alpharl.study.methods import Auto


def auto(window: Window, options: Auto) -> Prediction:
    """The model of the verdict, which stands in the fit.

    Raises:
        MethodError: no gram; or trials are asked for, and there is no validation suite.
    """
    if options.trials:
        window.need_validate()
    verdict = assess(window if options.trials else replace(window, validate=None))
    return replace(verdict.prediction, fit={"verdict": verdict.as_json()})
