"""`relex`, `relex-pinned`: one direction over time per tensor, its coefficient extrapolated.

RELEX (arXiv 2605.21468, section 3 and released code `svd_extrapolation.py`): per tensor a temporal
SVD of the stacked, uncentred updates, a least-squares curve through each coefficient, read at the
target. The fit runs on real optimizer steps; the released code fits on row numbers but measures
the horizon in step labels, which is the same only where labels are consecutive integers, and it
doubles the target for one model's name. Both are left out.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from alpharl.dynamics.temporal import Fit, read_off, temporal_svd
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import TemporalFit


class RelexPinned(TemporalFit):
    """As `relex`, but the fitted change is added to the window's last checkpoint."""

    source = "RELEX, pinned as in its replications (see `relex`)"
    method: Literal["relex-pinned"] = "relex-pinned"

    def forecast(self, window: Window) -> Prediction:
        """Last checkpoint + the fitted change from its step to the target."""
        return _forecast(window, self, pinned=True)


class Relex(TemporalFit):
    """Temporal SVD per tensor, coefficients fitted against the step, read off at the target."""

    source = "RELEX, arXiv 2605.21468, scripts/svd_extrapolation.py"
    method: Literal["relex"] = "relex"

    def forecast(self, window: Window) -> Prediction:
        """Base + the fitted coefficients at the target along the kept directions, all tensors."""
        return _forecast(window, self, pinned=False)


def _forecast(window: Window, options: Relex | RelexPinned, pinned: bool) -> Prediction:
    gram, steps = window.need_gram(), np.array(window.steps, np.float64)
    blend, fit = {}, {}
    for name in window.tensors:
        temporal = temporal_svd(gram.tensors[name], options.rank)
        rise = np.array(
            [_rise(steps, c, window, options.fit, pinned) for c in temporal.coefficients.T]
        )
        weights = temporal.mix @ rise if len(rise) else np.zeros(len(steps))
        if pinned:
            weights[-1] += 1.0
        blend[name] = dict(zip(window.steps, weights.tolist(), strict=True))
        fit[name] = {"share": temporal.share.tolist(), "coefficient": rise.tolist()}
    return Prediction(blend=blend, fit={"pinned": pinned, "tensors": fit})


def _rise(steps: np.ndarray, values: np.ndarray, window: Window, fit: Fit, pinned: bool) -> float:
    """The fitted coefficient at the target; pinned: less the fitted one at the last step."""
    target = read_off(steps, values, window.need_target_step(), fit)
    return target - read_off(steps, values, window.last, fit) if pinned else target
