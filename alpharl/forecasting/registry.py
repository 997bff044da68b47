"""All forecasting methods by name: `alpharl.study.methods` holds their options."""

from __future__ import annotations

from alpharl.forecasting.alpharl_pls import alpharl_paper, alpharl_repo
from alpharl.forecasting.alpharl_step import alpharl_step
from alpharl.forecasting.auto import auto
from alpharl.forecasting.contract import Forecaster, Prediction, Window
from alpharl.forecasting.effopd import effopd
from alpharl.forecasting.expo import expo
from alpharl.forecasting.first_update import first_update
from alpharl.forecasting.last import last
from alpharl.forecasting.logits_extrapolation import logits_extrapolation
from alpharl.forecasting.momentum import momentum
from alpharl.forecasting.next import next_jump
from alpharl.forecasting.raw_linear import raw_linear
from alpharl.forecasting.recent import recent
from alpharl.forecasting.relex import relex, relex_pinned
from alpharl.forecasting.weight_extrapolation import weight_extrapolation
from alpharl.study.methods import MethodOptions

FORECASTERS: dict[str, Forecaster] = {
    "last": last,
    "expo": expo,
    "first-update": first_update,
    "weight-extrapolation": weight_extrapolation,
    "momentum": momentum,
    "raw-linear": raw_linear,
    "relex": relex,
    "relex-pinned": relex_pinned,
    "recent": recent,
    "effopd": effopd,
    "auto": auto,
    "alpharl-paper": alpharl_paper,
    "alpharl-repo": alpharl_repo,
    "alpharl-step": alpharl_step,
    "next": next_jump,
    "logits-extrapolation": logits_extrapolation,
}


def predict(window: Window, options: MethodOptions) -> Prediction:
    """Run the method that the options belong to.

    Raises:
        MethodError: the method is not defined on this window.
    """
    return FORECASTERS[options.method](window, options)
