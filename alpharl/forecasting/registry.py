"""All forecasting methods by name: `alpharl.study.methods` holds their options."""

from __future__ import annotations

from alpharl.forecasting.alpharl_pls import alpharl_paper, alpharl_repo
from alpharl.forecasting.contract import Forecaster, Prediction, Window
from alpharl.forecasting.expo import expo
from alpharl.forecasting.last import last
from alpharl.forecasting.relex import relex, relex_pinned
from alpharl.forecasting.weight_extrapolation import weight_extrapolation
from alpharl.study.methods import MethodOptions

FORECASTERS: dict[str, Forecaster] = {
    "last": last,
    "expo": expo,
    "weight-extrapolation": weight_extrapolation,
    "relex": relex,
    "relex-pinned": relex_pinned,
    "alpharl-paper": alpharl_paper,
    "alpharl-repo": alpharl_repo,
}


def predict(window: Window, options: MethodOptions) -> Prediction:
    """Run the method that the options belong to.

    Raises:
        MethodError: the method is not defined on this window.
    """
    return FORECASTERS[options.method](window, options)
