"""`expo`: further along the last update (ExPO, arXiv 2404.16792, section 2)."""

from __future__ import annotations

from alpharl.forecasting.contract import Prediction, Window
from alpharl.study.methods import Expo


def expo(window: Window, options: Expo) -> Prediction:
    """W(0) + (1 + alpha) (W(last) - W(0)), all tensors, one global alpha.

    Raises:
        MethodError: alpha is chosen on validation, and there is no suite for it.
    """
    if options.alpha != "validation":
        return _extended(window, options.alpha)
    validate = window.need_validate()
    scores = {a: float(validate(_extended(window, a)).mean()) for a in sorted(set(options.grid))}
    best = max(scores, key=lambda alpha: (scores[alpha], -alpha))
    found = _extended(window, best)
    found.fit.update(alpha=best, validation=scores)
    return found


def _extended(window: Window, alpha: float) -> Prediction:
    weights = {window.last: 1.0 + alpha}
    return Prediction(
        blend={name: dict(weights) for name in window.tensors}, fit={"weights": weights}
    )
