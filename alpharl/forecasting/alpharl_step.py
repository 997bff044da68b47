"""`alpharl-step`: AlphaRL's rank-1 trajectory with the step as its clock. Ours.

AlphaRL (arXiv 2510.00553 v3, section 4.1) fits sigma_1 u_1 against accuracy and keeps v_1 of one
checkpoint. Here a least-squares line against the step goes through every entry of the whole rank-1
matrices sigma_1 u_1 v_1^T; no accuracy is needed. The matrices do not depend on the signs that an
SVD gives its vectors, so none are aligned. The line's value at the target is a weighted sum of
them, of rank T at most, and the best rank-1 approximation of that sum is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from alpharl.dynamics.temporal import line_weights
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import Method
from alpharl.spectra.lowrank import LowRank
from alpharl.spectra.scope import in_paper_scope


class AlphaRLStep(Method):
    """Rank-1 parts of the updates, a line through them against the step, cut to rank 1 again."""

    source = "ours, after AlphaRL, arXiv 2510.00553 v3"
    needs = frozenset({"factors"})
    cost = "two QR factorizations of T columns per matrix"
    method: Literal["alpharl-step"] = "alpharl-step"

    def forecast(self, window: Window) -> Prediction:
        """Base + the rank-1 matrix on the line at the target, matrices of the paper's scope."""
        factors = window.need_factors()
        weights = line_weights(np.array(window.steps), window.need_target_step())
        adapter, share = {}, {}
        for name in filter(in_paper_scope, factors[window.last]):
            tops = [at[name].low.top(1) for at in factors.values()]
            update = recompress([low.scaled(w) for low, w in zip(tops, weights, strict=True)])
            if update.s[0] > 0:  # a frozen matrix stays at base
                adapter[name] = update.top(1)
                share[name] = float(update.s[0] ** 2 / np.sum(update.s**2))
        steps = dict(zip(window.steps, weights.tolist(), strict=True))
        return Prediction(adapter=adapter, fit={"weights": steps, "share": share})


def recompress(terms: Sequence[LowRank]) -> LowRank:
    """The exact SVD of a sum of low-rank matrices, by way of two thin QR factorizations."""
    u_mk = np.hstack([low.u.astype(np.float64) * low.s for low in terms])
    v_nk = np.hstack([low.v.astype(np.float64) for low in terms])
    (left, a), (right, b) = np.linalg.qr(u_mk), np.linalg.qr(v_nk)
    u, s, vt = np.linalg.svd(a @ b.T, full_matrices=False)
    return LowRank(left @ u, s, right @ vt.T)
