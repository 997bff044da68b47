"""`expo`: further along the last update (ExPO, arXiv 2404.16792, section 2)."""

from __future__ import annotations

from alpharl.forecasting.contract import Prediction, Window
from alpharl.study.methods import Expo


def expo(window: Window, options: Expo) -> Prediction:
    """W(0) + (1 + alpha) (W(last) - W(0)), all tensors, one global alpha."""
    weights = {window.last: 1.0 + options.alpha}
    return Prediction(
        blend={name: dict(weights) for name in window.tensors}, fit={"weights": weights}
    )
