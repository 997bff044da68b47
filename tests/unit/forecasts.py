"""Dense float64 references of the forecasting methods, and windows made without our code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.registry import METHODS
from alpharl.spectra.gram import Gram
from alpharl.spectra.lowrank import Factors, LowRank
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import LinearRegression

THROUGH, TARGET = 50, 90
SEEN = [10, 20, 35, 50]
UP = "model.layers.0.mlp.up_proj.weight"
NORM = "model.layers.1.input_layernorm.weight"

Reference = Callable[..., dict[str, np.ndarray]]

# --- dense references: an update per tensor, in float64 ---


def ref_relex(run, rank=1, fit="linear", pinned=False) -> dict[str, np.ndarray]:
    """Arxiv 2605.21468, section 3: uncentred SVD over time, curve in the step, read at T*."""
    degree, found = {"linear": 1, "quadratic": 2}[fit], {}
    for name in run.names:
        m_td = run.stacked(name, SEEN)
        u, s, vt = np.linalg.svd(m_td, full_matrices=False)
        total = m_td[-1].copy() if pinned else np.zeros(m_td.shape[1])
        for k in range(rank):
            curve = np.polynomial.Polynomial.fit(SEEN, u[:, k] * s[k], degree)
            total += (curve(TARGET) - (curve(THROUGH) if pinned else 0)) * vt[k]
        found[name] = total.reshape(run.update(THROUGH, name).shape)
    return found


def ref_expo(run, alpha=0.5) -> dict[str, np.ndarray]:
    """Arxiv 2404.16792: theta_1 + alpha (theta_1 - theta_0)."""
    return {name: (1 + alpha) * run.update(THROUGH, name) for name in run.names}


def ref_first_update(run, gamma=9.0) -> dict[str, np.ndarray]:
    """Base + gamma (W(10) - W(0)); by default gamma = 90 / 10."""
    return {name: gamma * run.update(10, name) for name in run.names}


def ref_momentum(run) -> dict[str, np.ndarray]:
    """W(50) + (90 - 50) / (50 - 35) (W(50) - W(35))."""
    found = {}
    for name in run.names:
        a, b = run.update(35, name), run.update(50, name)
        found[name] = b + 40 / 15 * (b - a)
    return found


def ref_raw_linear(run) -> dict[str, np.ndarray]:
    """A least-squares line with intercept through every parameter."""
    found = {}
    for name in run.names:
        slope, intercept = np.polyfit(SEEN, run.stacked(name, SEEN), 1)
        found[name] = (slope * TARGET + intercept).reshape(run.update(THROUGH, name).shape)
    return found


def ref_recent(run, rank=1, seen=(20, 35, 50)) -> dict[str, np.ndarray]:
    """Uncentred SVD over time of W(t) - W(50), a line in the step, pinned to W(50)."""
    found = {}
    for name in run.names:
        last = run.update(THROUGH, name)
        u, s, vt = np.linalg.svd(run.stacked(name, seen) - last.ravel(), full_matrices=False)
        total = last.ravel().copy()
        for k in range(rank):
            line = np.polynomial.Polynomial.fit(seen, u[:, k] * s[k], 1)
            total += (line(TARGET) - line(THROUGH)) * vt[k]
        found[name] = total.reshape(last.shape)
    return found


def ref_alpharl_step(run) -> dict[str, np.ndarray]:
    """Best rank-1 matrix of the entrywise line through the updates' best rank-1 matrices."""
    found = {name: 0 * run.update(THROUGH, name) for name in run.names}
    for name in run.matrices():
        tops = np.array([best_rank_one(run.update(step, name)).ravel() for step in SEEN])
        slope, intercept = np.polyfit(SEEN, tops, 1)
        found[name] = best_rank_one((slope * TARGET + intercept).reshape(found[name].shape))
    return found


def best_rank_one(matrix: np.ndarray) -> np.ndarray:
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    return s[0] * np.outer(u[:, 0], vt[0])


def ref_weight_extrapolation(run, first=20) -> dict[str, np.ndarray]:
    """Arxiv 2601.04537: W_a + beta (W_b - W_a); norm layers are those of the later checkpoint."""
    beta = (TARGET - first) / (THROUGH - first)
    found = {}
    for name in run.names:
        a, b = run.update(first, name), run.update(THROUGH, name)
        found[name] = b if "norm" in name else a + beta * (b - a)
    return found


def ref_alpharl(run, target=1.0, paper=True) -> dict[str, np.ndarray]:
    """Arxiv 2510.00553, section 4.1 (paper), and `AlphaPredVector.py` (repo), by scikit-learn."""
    found = {n: 0 * run.update(THROUGH, n) if paper else run.update(THROUGH, n) for n in run.names}
    y = np.array([run.accuracy[step] for step in SEEN])
    for name in run.matrices():
        triplets = [np.linalg.svd(run.update(step, name)) for step in SEEN]
        u = np.array([t[0][:, 0] for t in triplets])
        for t in range(len(SEEN) - 2, -1, -1):
            u[t] *= np.sign(u[t] @ u[t + 1])
        # alpha sigma_1 is the Frobenius norm of the update: alpha = |dW| / sigma_1.
        size = [np.sqrt(np.sum(t[1] ** 2)) if paper else t[1][0] for t in triplets]
        x = u * np.array(size)[:, None]
        pls = PLSRegression(n_components=1).fit(x, y)
        line = LinearRegression().fit(pls.transform(x), y)
        score = (target - line.intercept_) / line.coef_[0]
        vector = pls.inverse_transform([[score]])[0]
        found[name] = found[name] + np.outer(vector, triplets[-1][2][0])
    return found


CASES: list[tuple[str, dict, Reference, dict]] = [
    ("last", {}, ref_expo, {"alpha": 0}),
    ("expo", {}, ref_expo, {}),
    ("expo", {"alpha": 0.3}, ref_expo, {"alpha": 0.3}),
    ("first-update", {}, ref_first_update, {}),
    ("first-update", {"gamma": 300}, ref_first_update, {"gamma": 300}),
    ("momentum", {}, ref_momentum, {}),
    ("raw-linear", {}, ref_raw_linear, {}),
    ("recent", {}, ref_recent, {}),
    ("recent", {"share": 1, "rank": 2}, ref_recent, {"rank": 2, "seen": SEEN}),
    ("alpharl-step", {}, ref_alpharl_step, {}),
    ("weight-extrapolation", {}, ref_weight_extrapolation, {}),
    ("weight-extrapolation", {"first": 10}, ref_weight_extrapolation, {"first": 10}),
    ("relex", {}, ref_relex, {}),
    ("relex", {"rank": 2}, ref_relex, {"rank": 2}),
    ("relex", {"rank": 2, "fit": "quadratic"}, ref_relex, {"rank": 2, "fit": "quadratic"}),
    ("relex-pinned", {}, ref_relex, {"pinned": True}),
    ("relex-pinned", {"rank": 3}, ref_relex, {"rank": 3, "pinned": True}),
    ("alpharl-paper", {}, ref_alpharl, {}),
    ("alpharl-paper", {"target_accuracy": 0.9}, ref_alpharl, {"target": 0.9}),
    ("alpharl-repo", {}, ref_alpharl, {"paper": False}),
    ("alpharl-repo", {"target_accuracy": 1.7}, ref_alpharl, {"target": 1.7, "paper": False}),
]
ADAPTERS = ("alpharl-paper", "alpharl-step")
"""Methods whose forecast is an adapter alone."""
BOTH = ("alpharl-repo", "next")
"""Methods whose forecast is a blend and an adapter."""
ELSEWHERE = {
    "next": "test_next.py",
    "logits-extrapolation": "test_logits.py",
    "effopd": "test_search.py",
    "auto": "test_auto.py",
}
"""Methods without a formula for the update, and where they are tested."""
WEIGHTS = [method for method in METHODS if method != "logits-extrapolation"]
"""Methods that forecast weights."""
FAST: dict[str, dict] = {"next": {"epochs": 5}, "auto": {"trials": False}}
"""Options that make a method quick where its numbers do not matter; without a suite, too."""
SUITELESS = [method for method in METHODS if method != "effopd"]
"""Methods that run on a made-up model, which no suite can score."""
IDS = [f"{m}-{'-'.join(f'{k}={v}' for k, v in o.items())}" for m, o, *_ in CASES]


# --- helpers ---


def dense_window(run, steps=SEEN, known=None) -> Window:
    """A window whose gram and factors come from float64 numpy, not from our code.

    Args:
        run: the trajectory.
        steps: the observed steps.
        known: all steps that gram, factors and accuracy hold; default: the observed.
    """
    known = known or steps
    gram = Gram(known, {n: (r := run.stacked(n, known)) @ r.T for n in run.names})
    factors = {}
    for step in known:
        factors[step] = {}
        for name in run.matrices():
            u, s, vt = np.linalg.svd(run.update(step, name), full_matrices=False)
            low = LowRank(u, s, vt.T)
            factors[step][name] = Factors(low, float(np.linalg.norm(s)), np.zeros(len(s)))
    accuracy = {0: run.accuracy[0]} | {step: run.accuracy[step] for step in known}
    return Window(list(steps), TARGET, run.names, gram, factors, accuracy, nearness(run))


def nearness(run, step=TARGET, questions=100) -> Callable[[Prediction], np.ndarray]:
    """In place of a suite: a question each for being nearer to the updates of a step."""
    size = np.sqrt(sum(np.sum(run.update(step, name) ** 2) for name in run.names))

    def validate(prediction: Prediction) -> np.ndarray:
        found = applied(prediction, run)
        away = sum(np.sum((found[name] - run.update(step, name)) ** 2) for name in run.names)
        return (np.sqrt(away) / size < np.linspace(0, 2, questions)).astype(float)

    return validate


def applied(prediction: Prediction, run) -> dict[str, np.ndarray]:
    """The predicted update per tensor, in float64."""
    found = {}
    for name in run.names:
        found[name] = np.zeros(run.update(SEEN[0], name).shape)
        for step, weight in prediction.blend.get(name, {}).items():
            found[name] += weight * run.update(step, name)
        if name in prediction.adapter:
            found[name] += prediction.adapter[name].dense()
    return found


def options(method: str, given: dict | None = None):
    """Validated options of a method."""
    return METHODS[method](**(FAST.get(method, {}) | (given or {})))


def forecast_args(run, method: str, out: Path, *more: object) -> list[object]:
    """Arguments of `alpharl forecast`."""
    return ["forecast", "--base", run.base, "--checkpoints", run.pattern, "--through", THROUGH,
            "--method", method, "--target-step", TARGET, "--scores", run.scores, "--out", out,
            *(f"--option={key}={value}" for key, value in FAST.get(method, {}).items()),
            *more]  # fmt: skip


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float, floor: float = 0.0):
    """Relative Frobenius distance below the tolerance, besides an absolute floor."""
    distance = np.linalg.norm(found - expected)
    assert distance <= tolerance * np.linalg.norm(expected) + floor
