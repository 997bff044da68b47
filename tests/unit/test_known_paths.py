"""Forecasts of made-up paths whose later weights are known: lines, and a change of course."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from alpharl.errors import MethodError
from alpharl.forecasting.alpharl_step import recompress
from alpharl.forecasting.contract import Window
from alpharl.forecasting.recent import to_last
from alpharl.forecasting.registry import METHODS
from alpharl.spectra.gram import Gram
from alpharl.spectra.lowrank import Factors, LowRank

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
    found = METHODS[method](**(given or {})).forecast(window_of(path))
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
    found = METHODS["recent"](share=share).forecast(window)
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
    plain = METHODS["alpharl-step"]().forecast(window).adapter[NAME].dense()
    for step in (20, 50, 80):
        f = window.factors[step][NAME]
        low = LowRank(-f.low.u, f.low.s, -f.low.v)
        window.factors[step][NAME] = Factors(low, f.norm, f.residual)
    flipped = METHODS["alpharl-step"]().forecast(window).adapter[NAME].dense()
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


# --- noise, walks, curves: how far off each method is, and why ---

LARGE = (60, 40)
NOISE = {0: np.zeros(LARGE)} | {
    step: np.random.default_rng(step).standard_normal(LARGE) for step in (*STEPS, TARGET)
}
COURSE, ASIDE = (np.random.default_rng(s).standard_normal(LARGE) for s in (1, 2))
RANK_ONE = np.outer(COURSE[:, 0], ASIDE[0])


def noise_alone(step: float) -> np.ndarray:
    return NOISE[int(step)]


def noisy(step: float) -> np.ndarray:
    """A line of rank 1 through the base, and independent noise of unit variance."""
    return step * RANK_ONE + NOISE[int(step)]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("first-update", 12),
        ("momentum", np.hypot(5, 4)),
        ("weight-extrapolation", np.hypot(2, 1)),
        # least squares of eight steps, 75 beyond their mean; their squares about it sum to 4200
        ("raw-linear", np.sqrt(1 / 8 + 75**2 / 4200)),
    ],
)
def test_noise_on_a_line_is_amplified_as_the_weights_say(method, expected):
    blend = METHODS[method]().forecast(window_of(noise_alone)).blend[NAME]
    assert np.linalg.norm(list(blend.values())) == pytest.approx(expected)
    away = np.linalg.norm(forecast(method, noisy) - TARGET * RANK_ONE)
    assert away == pytest.approx(expected * np.sqrt(np.prod(LARGE)), rel=0.05)


@pytest.mark.parametrize(
    ("method", "most"),
    [("relex", 0.01), ("relex-pinned", 0.02), ("recent", 0.05), ("alpharl-step", 0.005)],
)
def test_noise_on_a_line_is_fitted_away(method, most):
    """Stated errors, of the whole update; one checkpoint's noise is 1.3 % of the last update."""
    assert np.linalg.norm(NOISE[80]) / np.linalg.norm(80 * RANK_ONE) == pytest.approx(0.013, 0.1)
    assert error(forecast(method, noisy), TARGET * RANK_ONE) < most


@pytest.mark.parametrize("method", ["first-update", "momentum", "weight-extrapolation",
                                    "raw-linear", "relex", "relex-pinned", "recent"])  # fmt: skip
def test_a_walk_without_drift_is_worse_forecast_than_kept(method):
    """What comes is at right angles to all that was: 1 + (move / way)^2, squared."""
    rows = dict(zip(NOISE, np.cumsum(list(NOISE.values()), 0), strict=True))

    def path(step: float) -> np.ndarray:
        return rows[int(step)]

    found = forecast(method, path)
    way, move = path(TARGET) - path(80), found - path(80)
    away = np.linalg.norm(found - path(TARGET)) / np.linalg.norm(way)
    assert away > 1.02
    ratio = np.linalg.norm(move) / np.linalg.norm(way)
    assert away == pytest.approx(np.hypot(1, ratio), rel=0.05)


def bend(step: float) -> float:
    return 60 * (1 - np.exp(-step / 60))


@pytest.mark.parametrize("method", ["first-update", "momentum", "weight-extrapolation",
                                    "raw-linear", "relex", "recent", "alpharl-step"])  # fmt: skip
def test_a_line_through_what_saturates_overshoots_by_its_own_extrapolation(method):
    """One direction, so each method is its scalar self: the same line through c(t)."""
    half = METHODS["recent"]().forecast(window_of(noise_alone)).fit["steps"]

    def fitted(steps: list[int]) -> float:
        return float(np.polyval(np.polyfit(steps, [bend(t) for t in steps], 1), TARGET))

    expected = {
        "first-update": 12 * bend(10),
        "momentum": bend(80) + 4 * (bend(80) - bend(70)),
        "weight-extrapolation": bend(80) + (bend(80) - bend(40)),
        "recent": bend(80) + fitted(half) - np.polyval(
            np.polyfit(half, [bend(t) for t in half], 1), 80),
    }.get(method, fitted(STEPS))  # fmt: skip
    found = forecast(method, lambda step: bend(step) * RANK_ONE)
    assert error(found, expected * RANK_ONE) < 1e-5
    assert expected > 1.03 * bend(TARGET)


def test_a_saturating_fit_levels_off_where_lines_do_not():
    def path(step: float) -> np.ndarray:
        return bend(step) * RANK_ONE

    curve = error(forecast("relex", path, {"fit": "saturating"}), path(TARGET))
    assert curve < 0.5 * error(forecast("relex", path), path(TARGET))


def circle(step: float) -> np.ndarray:
    """A circle that turns by 0.8 in the window and by 1.2 up to the target."""
    one, other = COURSE / np.linalg.norm(COURSE), ASIDE / np.linalg.norm(ASIDE)
    return np.sin(step / 100) * one + (1 - np.cos(step / 100)) * other


def remainder(*nodes: float) -> float:
    """Most that a polynomial through these points of the circle is off at the target, relatively.

    Every derivative of the circle by its angle has norm 1: product of |1.2 - node| over n!.
    """
    away = np.prod([1.2 - node for node in nodes]) / math.factorial(len(nodes))
    return float(away / np.linalg.norm(circle(TARGET)))


@pytest.mark.parametrize(
    ("method", "nodes"),
    [("first-update", (0, 0.1)), ("weight-extrapolation", (0.4, 0.8)), ("momentum", (0.7, 0.8))],
)
def test_a_circle_is_left_along_a_chord(method, nodes):
    """The second derivative turns on the way, so it does not add up quite to its bound."""
    found = error(forecast(method, circle), circle(TARGET))
    assert 0.8 * remainder(*nodes) < found <= remainder(*nodes)


def test_a_circle_is_followed_by_a_curve_in_two_directions():
    """A least-squares curve meets the circle at points of the window; at worst the first ones."""
    curved = error(forecast("relex", circle, {"rank": 2, "fit": "quadratic"}), circle(TARGET))
    straight = error(forecast("raw-linear", circle), circle(TARGET))
    assert straight <= np.sqrt(2) * remainder(0.1, 0.2)
    assert curved <= np.sqrt(2) * remainder(0.1, 0.2, 0.3)
    assert curved < straight / 2


def test_momentum_needs_two_checkpoints():
    with pytest.raises(MethodError, match="found 1 checkpoint in the window, expected 2"):
        METHODS["momentum"]().forecast(window_of(past_base, [10]))
