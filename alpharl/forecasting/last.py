"""`last`: no forecast. The rival that every method has to beat."""

from __future__ import annotations

from alpharl.forecasting.contract import Prediction, Window
from alpharl.study.methods import Last


def last(window: Window, options: Last) -> Prediction:
    """The window's last checkpoint, all tensors."""
    weights = {window.last: 1.0}
    return Prediction(
        blend={name: dict(weights) for name in window.tensors}, fit={"weights": weights}
    )
