"""Forecasts of made-up paths whose later weights are known: lines, and a change of course."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from alpharl.errors import MethodError
from alpharl.forecasting.alpharl_step import recompress
from alpharl.forecasting.contract import Window
from alpharl.forecasting.recent import to_last
from alpharl.forecasting.registry import predict
from alpharl.spectra.gram import Gram
from alpharl.spectra.lowrank import Factors, LowRank
from alpharl.study.methods import METHODS

NAME = "model.layers.0.mlp.up_proj.weight"
STEPS, TARGET, TURN = [10, 20, 30, 40, 50, 60, 70, 80], 120, 40
RNG = np.random.default_rng(0)
U, V, W = (RNG.standard_normal(n) for n in (12, 8, 8))
ONE, OTHER = (RNG.standard_normal((12, 8)) for _ in range(2))
START = RNG.standard_normal((12, 8))

Path = Callable[[float], np.ndarray]


def through_base(step: float) -> np.ndarray:
    return step * np.outer(U, V)


def past_base(step: float) -> np.ndarray:
    return START + step * ONE


def turned(step: float) -> np.ndarray:
    """One direction up to the turn, another one after it."""
    return min(step, TURN) * ONE + max(step - TURN, 0) * OTHER


def window_of(path: Path, steps: list[int] = STEPS) -> Window:
    stacked = np.stack([path(step).ravel() for step in steps])
    factors = {}
    for step in steps:
        u, s, vt = np.linalg.svd(path(step), full_matrices=False)
        low = LowRank(u[:, :1], s[:1], vt[:1].T)
        factors[step] = {NAME: Factors(low, float(np.linalg.norm(s)), np.zeros(1))}
    return Window(steps, TARGET, [NAME], Gram(steps, {NAME: stacked @ stacked.T}), factors)


def forecast(method: str, path: Path, given: Mapping[str, object] | None = None) -> np.ndarray:
    """The predicted update (m, n)."""
    found = predict(window_of(path), METHODS[method](**(given or {})))
    blend = sum((w * path(step) for step, w in found.blend.get(NAME, {}).items()), 0 * path(0))
    return blend + found.adapter[NAME].dense() if NAME in found.adapter else blend


def error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize(
    "method", ["first-update", "momentum", "raw-linear", "recent", "alpharl-step"]
)
def test_line_through_the_base_is_recovered(method):
    assert error(forecast(method, through_base), through_base(TARGET)) < 1e-6


@pytest.mark.parametrize("method", ["momentum", "raw-linear", "recent"])
def test_line_past_the_base_is_recovered(method):
    assert error(forecast(method, past_base), past_base(TARGET)) < 1e-6


def test_first_update_scales_what_is_not_on_the_way_too():
    """W(10) - W(0) = START + 10 ONE; twelve times that has START twelve times."""
    assert error(forecast("first-update", past_base), 12 * START + TARGET * ONE) < 1e-12
    assert error(forecast("first-update", past_base, {"gamma": 2}), 2 * past_base(10)) < 1e-12


def test_raw_linear_is_relex_of_full_temporal_rank():
    def path(step: float) -> np.ndarray:
        return np.random.default_rng(int(step)).standard_normal((12, 8))

    full = forecast("relex", path, {"rank": len(STEPS)})
    assert error(forecast("raw-linear", path), full) < 1e-9


def test_change_of_course_is_followed_by_what_looks_at_recent_steps_only():
    """All of the later half lies past the turn."""
    for method in ("momentum", "recent"):
        assert error(forecast(method, turned), turned(TARGET)) < 1e-6


def test_change_of_course_misleads_a_line_through_all_steps():
    """It goes on along both directions: least squares of min(t, 40) and max(t - 40, 0) at 120."""
    along = [np.polyfit(STEPS, [f(t) for t in STEPS], 1) for f in (
        lambda t: min(t, TURN), lambda t: max(t - TURN, 0))]  # fmt: skip
    one, other = (float(np.polyval(line, TARGET)) for line in along)
    expected = one * ONE + other * OTHER
    assert (one, other) == pytest.approx((440 / 7, 400 / 7))
    assert error(forecast("raw-linear", turned), expected) < 1e-9
    assert error(forecast("raw-linear", turned), turned(TARGET)) > 0.25


def test_recent_of_the_whole_window_meets_the_turn():
    assert error(forecast("recent", turned, {"share": 1}), turned(TARGET)) > 0.05


@pytest.mark.parametrize(
    ("share", "count", "seen"),
    [(0.5, 8, 4), (0.5, 7, 4), (0.1, 8, 3), (0.5, 5, 3), (1, 8, 8), (0.5, 2, 2)],
)
def test_recent_takes_its_share_at_least_three(share, count, seen):
    window = window_of(past_base, STEPS[:count])
    found = predict(window, METHODS["recent"](share=share))
    assert found.fit["steps"] == STEPS[count - seen : count]
    assert list(found.blend[NAME]) == found.fit["steps"]


def test_recent_keeps_the_last_checkpoint_of_what_has_stopped():
    def path(step: float) -> np.ndarray:
        return min(step, 30) * ONE

    assert error(forecast("recent", path), path(TARGET)) < 1e-9


def test_gram_of_differences_to_the_last():
    stacked = RNG.standard_normal((4, 30))
    way = stacked - stacked[-1]
    np.testing.assert_allclose(to_last(stacked @ stacked.T), way @ way.T, atol=1e-12)


def test_alpharl_step_follows_right_vectors_that_turn():
    """u (t v + 50 w)^T: rank 1 at each step, and a line, though v_1 turns all the time."""

    def path(step: float) -> np.ndarray:
        return np.outer(U, step * V + 50 * W)

    assert error(forecast("alpharl-step", path), path(TARGET)) < 1e-6


def test_alpharl_step_does_not_see_the_signs_of_singular_pairs():
    window = window_of(turned)
    plain = predict(window, METHODS["alpharl-step"]()).adapter[NAME].dense()
    for step in (20, 50, 80):
        f = window.factors[step][NAME]
        low = LowRank(-f.low.u, f.low.s, -f.low.v)
        window.factors[step][NAME] = Factors(low, f.norm, f.residual)
    flipped = predict(window, METHODS["alpharl-step"]()).adapter[NAME].dense()
    np.testing.assert_allclose(flipped, plain, rtol=1e-10)


@pytest.mark.parametrize("rank", [1, 3, 10])
def test_recompressed_sum_is_the_dense_svd(rank):
    """Also where there are more terms than columns, and some of negative weight."""
    terms = [
        LowRank(*(RNG.standard_normal(shape) for shape in ((12, 1), 1, (8, 1))))
        for _ in range(rank)
    ]
    found, dense = recompress(terms), sum(term.dense() for term in terms)
    np.testing.assert_allclose(found.dense(), dense, atol=1e-12)
    s = np.linalg.svd(dense, compute_uv=False)
    np.testing.assert_allclose(found.s[: len(s)], s[: len(found.s)], atol=1e-12)


def test_momentum_needs_two_checkpoints():
    with pytest.raises(MethodError, match="found 1 checkpoint in the window, expected 2"):
        predict(window_of(past_base, [10]), METHODS["momentum"]())
