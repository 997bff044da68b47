"""`alpharl-paper`, `alpharl-repo`: the first left singular vector against accuracy, by PLS.

AlphaRL (arXiv 2510.00553 v3, section 4.1). The paper and the released code are different methods:

* paper: alpha sigma_1 u_1 (rescaled to the update's Frobenius norm), added to the base. The paper
  leaves open what y* = 1 refers to; accuracy is used as it is, not relative to the finished run.
* code: sigma_1 u_1, the whole predicted vector added to the window's last checkpoint, which
  already contains its own rank-1 part; `target_accuracy` is free (1.7 in the released script).

Both take v_1 from the window's last checkpoint, as the code does; the paper does not say which.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from alpharl.dynamics.align import align_backwards
from alpharl.dynamics.pls import fit_pls
from alpharl.dynamics.ratio import r_squared
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import Method, Multiple
from alpharl.spectra.lowrank import Factors, LowRank
from alpharl.spectra.scope import in_paper_scope


class AlphaRLRepo(Method):
    """As AlphaRL's released code: sigma_1 u_1 unscaled, added to the window's last checkpoint."""

    source = "AlphaRL, released code (AlphaPredVector.py, AlphaRLBuildPerdictModel.py)"
    needs = frozenset({"factors", "scores"})
    cost = "one PLS fit per matrix, and the window's validation scores"
    method: Literal["alpharl-repo"] = "alpharl-repo"
    target_accuracy: Annotated[Multiple, Field(gt=0)] = 1.0
    """The accuracy that the fitted line is inverted at; the released script uses 1.7."""

    def forecast(self, window: Window) -> Prediction:
        """Last checkpoint (all tensors) + the predicted rank-1 update.

        Raises:
            MethodError: no accuracy for an observed step, or accuracies that do not vary.
        """
        adapter, fit = _predict(window, self.target_accuracy, rescaled=False)
        return Prediction({name: {window.last: 1.0} for name in window.tensors}, adapter, fit)


class AlphaRLPaper(Method):
    """Norm-rescaled sigma_1 u_1 fitted against accuracy by PLS, added to the base."""

    source = "AlphaRL, arXiv 2510.00553 v3, section 4.1"
    needs = frozenset({"factors", "scores"})
    cost = "one PLS fit per matrix, and the window's validation scores"
    method: Literal["alpharl-paper"] = "alpharl-paper"
    target_accuracy: Annotated[Multiple, Field(gt=0)] = 1.0
    """The accuracy that the fitted line is inverted at; the paper says 1."""

    def forecast(self, window: Window) -> Prediction:
        """Base + the predicted rank-1 update, matrices of the paper's scope.

        Raises:
            MethodError: no accuracy for an observed step, or accuracies that do not vary.
        """
        adapter, fit = _predict(window, self.target_accuracy, rescaled=True)
        return Prediction(adapter=adapter, fit=fit)


def _predict(
    window: Window, target: float, rescaled: bool
) -> tuple[dict[str, LowRank], dict[str, object]]:
    factors, y_t = window.need_factors(), window.need_accuracy()
    target = window.target_accuracy or target
    adapter, r2 = {}, {}
    for name in filter(in_paper_scope, factors[window.last]):
        vectors_tm = _signed_vectors(factors, name, rescaled)
        if not vectors_tm.any():
            continue  # a frozen matrix stays at base
        model = fit_pls(vectors_tm, y_t)
        adapter[name] = _rank_one(model.invert(target), factors[window.last][name].low.v[:, 0])
        r2[name] = float(r_squared(y_t, model.predict(vectors_tm)))
    return adapter, {"target_accuracy": target, "accuracy": y_t.tolist(), "r2": r2}


def _signed_vectors(
    factors: Mapping[int, Mapping[str, Factors]], name: str, rescaled: bool
) -> np.ndarray:
    """(T, m): sigma_1 u_1 of each step, times alpha if rescaled, signs continuous in time."""
    per_step = [at[name] for at in factors.values()]
    u_tm = np.stack([f.low.u[:, 0] for f in per_step]).astype(np.float64)
    size = [f.low.s[0] * (f.rescale(1) if rescaled else 1.0) for f in per_step]
    vectors: np.ndarray = u_tm * (align_backwards(u_tm) * size)[:, None]
    return vectors


def _rank_one(vector_m: np.ndarray, v_n: np.ndarray) -> LowRank:
    size = float(np.linalg.norm(vector_m))
    unit = vector_m / size if size > 0 else vector_m
    return LowRank(unit[:, None], np.array([size]), v_n[:, None].astype(np.float64))
