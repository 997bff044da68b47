"""`recent`: the temporal fit on the later part of the window, pinned to the last checkpoint. Ours.

Updates point elsewhere early in a run than later, and an early direction that is fitted along drags
a line off its course. So only the later checkpoints are used, and of them only the way to the last
one: D_t = W(t) - W(last). Measured from the base, D_t would mostly be the update that they share,
and the leading direction that of the past. Otherwise as `relex-pinned`: an uncentred temporal SVD
per tensor (RELEX, arXiv 2605.21468, section 3), a curve through each coefficient against the step.

The gram of the D_t is a difference of larger numbers: motion whose square is near 1e-7 of the
update's is lost in the gram's float32 rounding.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from alpharl.dynamics.temporal import read_off, temporal_svd
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import TemporalFit

FEWEST = 3
"""Checkpoints that are fitted at least, where the window has them: two make a secant, no fit."""


class Recent(TemporalFit):
    """As `relex-pinned`, fitted to the way to the last checkpoint in the window's later part."""

    source = "ours, after RELEX"
    method: Literal["recent"] = "recent"
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the window's checkpoints that is fitted, the latest; at least 3 if it has them."""

    def forecast(self, window: Window) -> Prediction:
        """Last checkpoint + the fitted change from its step to the target, all tensors."""
        count = max(FEWEST, round(self.share * len(window.steps)))
        steps, blend, fit = window.steps[-count:], {}, {}
        gram, at = window.need_gram().upto(steps), np.array(steps, np.float64)
        for name in window.tensors:
            temporal = temporal_svd(to_last(gram.tensors[name]), self.rank)
            rise = [
                read_off(at, c, window.need_target_step(), self.fit)
                - read_off(at, c, at[-1], self.fit)
                for c in temporal.coefficients.T
            ]
            weights = temporal.mix @ rise if rise else np.zeros(len(steps))
            weights[-1] += 1.0 - weights.sum()  # each D_t takes its share of W(last) away
            blend[name] = dict(zip(steps, weights.tolist(), strict=True))
            fit[name] = {"share": temporal.share.tolist(), "rise": rise}
        return Prediction(blend=blend, fit={"steps": steps, "tensors": fit})


def to_last(gram_tt: np.ndarray) -> np.ndarray:
    """(T, T) inner products of the differences to the last update, from those of the updates."""
    to_last_t = gram_tt[:, -1]
    gram: np.ndarray = gram_tt - to_last_t[:, None] - to_last_t[None, :] + gram_tt[-1, -1]
    return gram
