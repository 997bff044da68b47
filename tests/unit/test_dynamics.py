"""Trajectory fits and their null models against scikit-learn, numpy and closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from alpharl.dynamics.align import align_backwards
from alpharl.dynamics.holdout import holdout_size, line_holdout, pls_holdout
from alpharl.dynamics.nulls import (
    WALK_DIMENSIONS,
    Null,
    line_null,
    noise_cosine,
    noise_grams,
    noise_pls,
    permuted,
    step_lengths,
    walk_grams,
    walk_pls,
)
from alpharl.dynamics.pls import fit_pls, pls_left_out_r2, pls_r2, r_squared
from alpharl.dynamics.table import Settings, dynamics_table, summarize
from alpharl.dynamics.temporal import line_r2, read_off, temporal_svd
from alpharl.errors import MethodError, UndefinedForecast
from alpharl.spectra.gram import Gram
from alpharl.spectra.lowrank import Factors, LowRank
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import LinearRegression


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(0)


def walk(rng: np.random.Generator, steps: int, dimensions: int) -> np.ndarray:
    """(T, d) random walk with unit steps in expectation."""
    return np.cumsum(rng.standard_normal((steps, dimensions)) / dimensions**0.5, axis=0)


def brownian_share(t: int) -> float:
    """Share of the first eigenvalue of min(i, j), i, j = 1..T: 8/pi^2 as T grows."""
    first = 1 / (4 * np.sin(np.pi / (2 * (2 * t + 1))) ** 2)
    return float(first / (t * (t + 1) / 2))


def quarter_sine_r2(t: int) -> float:
    """R2 of a line through the first eigenvector of min(i, j), a quarter of a sine."""
    i = np.arange(1, t + 1)
    return float(np.corrcoef(i, np.sin(i * np.pi / (2 * t + 1)))[0, 1] ** 2)


# --- signs ---


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), t=st.integers(1, 12), d=st.integers(1, 20))
def test_aligned_neighbours_never_point_away(seed, t, d):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((t, d))
    signs = align_backwards(vectors)
    assert set(signs) <= {1.0, -1.0}
    assert signs[-1] == 1.0
    signed = vectors * signs[:, None]
    assert (np.sum(signed[1:] * signed[:-1], axis=1) >= 0).all()


def test_alignment_undoes_random_flips(rng):
    path = rng.standard_normal(30) + 0.05 * walk(rng, 15, 30)
    flips = rng.choice([-1.0, 1.0], 15)
    flips[-1] = 1.0
    assert align_backwards(path * flips[:, None]).tolist() == flips.tolist()


def test_alignment_chains_over_neighbours_not_to_the_last():
    """A slow half turn: the first vector is opposite to the last, yet not flipped."""
    angle = np.linspace(0, np.pi, 9)
    path = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert align_backwards(path).tolist() == [1.0] * 9


# --- partial least squares ---


def sklearn_pls(x: np.ndarray, y: np.ndarray) -> tuple[PLSRegression, LinearRegression]:
    """The authors' estimator: one PLS component, then a line on its score."""
    pls = PLSRegression(n_components=1).fit(x, y)
    return pls, LinearRegression().fit(pls.transform(x), y)


CASES = {
    "wide": (6, 200, 1.0),
    "tall": (40, 5, 1.0),
    "two rows": (2, 30, 1.0),
    "one column": (9, 1, 1.0),
    "tiny values": (7, 50, 1e-6),
}


def pls_data(case: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A drifting trajectory, two of its columns constant where it has ten or more."""
    t, d, scale = CASES[case]
    rng = np.random.default_rng(seed)
    x = scale * (np.outer(np.linspace(0, 1, t), rng.standard_normal(d)) + 0.3 * walk(rng, t, d))
    if d >= 10:
        x[:, 3], x[:, 7] = 0.0, 0.5 * scale
    return x, np.linspace(0.4, 0.9, t) + 0.02 * rng.standard_normal(t)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_pls_against_scikit_learn(case, seed):
    x, y = pls_data(case, seed)
    pls, line = sklearn_pls(x, y)
    ours = fit_pls(x, y)
    expected = line.predict(pls.transform(x))
    np.testing.assert_allclose(ours.predict(x), expected, rtol=1e-8)
    new = x[::-1] * 1.3 + x.mean()
    np.testing.assert_allclose(ours.predict(new), line.predict(pls.transform(new)), rtol=1e-7)
    assert pls_r2(x, y) == pytest.approx(line.score(pls.transform(x), y), abs=1e-9)
    for target in (0.2, 1.0, 1.7):
        score = (target - line.intercept_) / line.coef_[0]
        vector = pls.inverse_transform(np.array([[score]]))[0]
        size = np.linalg.norm(vector)
        assert np.linalg.norm(ours.invert(target) - vector) <= 1e-8 * size


@pytest.mark.parametrize("case", ["wide", "tall"])
def test_pls_takes_float32_and_computes_in_float64(case):
    x, y = pls_data(case)
    x32 = x.astype(np.float32)
    same = fit_pls(x32.astype(np.float64), y).invert(1.0)
    assert np.array_equal(fit_pls(x32, y).invert(1.0), same)


def test_pls_of_a_planted_line_is_exact(rng):
    """X on a line in y: prediction and inversion recover it, also beyond the data."""
    start, direction = rng.standard_normal(40), rng.standard_normal(40)
    y = np.array([0.3, 0.5, 0.55, 0.8])
    x = start + np.outer(y, direction)
    model = fit_pls(x, y)
    np.testing.assert_allclose(model.predict(x), y, rtol=1e-10)
    np.testing.assert_allclose(model.invert(1.2), start + 1.2 * direction, atol=1e-10)
    assert pls_r2(x, y) == pytest.approx(1.0)


@pytest.mark.parametrize("value", [0.0, 0.5, 0.7, 0.9739])
@pytest.mark.parametrize("still", ["accuracies", "vectors"])
def test_pls_without_variation_is_undefined(rng, value, still):
    """Also where the mean of equal numbers is not that number, by the last bit."""
    fitted = []
    for count in range(2, 12):
        moving_x, moving_y = rng.standard_normal((count, 20)), np.linspace(0.2, 0.8, count)
        x = np.full((count, 20), value) if still == "vectors" else moving_x
        y = np.full(count, value) if still == "accuracies" else moving_y
        try:
            fit_pls(x, y)
        except UndefinedForecast as error:
            assert "do not vary" in str(error)
            assert "\n" not in str(error)
        else:
            fitted.append(count)
    assert fitted == [], "numbers of checkpoints at which a fit came out all the same"


def test_pls_of_one_checkpoint_is_undefined(rng):
    with pytest.raises(UndefinedForecast, match="PLS over 1 checkpoints"):
        fit_pls(rng.standard_normal((1, 5)), np.array([0.5]))


def test_in_sample_r2_of_pure_noise_is_near_one(rng):
    """27 points of d = 4096 noise: 0.995 (reference/alpharl.md 2.5). So the null must show it."""
    y = np.linspace(0.3, 0.9, 27)
    null = noise_pls(y, 4096, 12, seed=0)
    assert len(null.draws) == 12
    assert null.draws.mean() == pytest.approx(0.995, abs=0.001)
    assert noise_pls(y, 512, 20, seed=0).draws.mean() == pytest.approx(0.960, abs=0.005)
    assert null.p_value(0.914) == 1.0, "the paper's mean R2 is below all of noise"


def test_r_squared():
    y = np.array([1.0, 2.0, 4.0])
    assert r_squared(y, y) == 1.0
    assert r_squared(y, np.full(3, y.mean())) == 0.0
    assert r_squared(y, np.array([1.0, 2.0, 3.0])) == pytest.approx(1 - 1 / (14 / 3))
    assert r_squared(np.ones(3), y) == 0.0


# --- temporal SVD ---


@pytest.mark.parametrize(("t", "d"), [(5, 300), (12, 40), (3, 3), (1, 10)])
@pytest.mark.parametrize("rank", [1, 2, 20])
def test_temporal_svd_against_dense(rng, t, d, rank):
    rows = walk(rng, t, d) + 0.2 * np.outer(np.arange(t), rng.standard_normal(d))
    u, s, vt = np.linalg.svd(rows, full_matrices=False)
    flip = np.where(u[-1] < 0, -1.0, 1.0)
    found = temporal_svd(rows @ rows.T, rank)
    r = min(rank, t, d)
    assert found.coefficients.shape == found.mix.shape == (t, r)
    np.testing.assert_allclose(found.coefficients, (u * s * flip)[:, :r], atol=1e-8 * s[0])
    np.testing.assert_allclose(found.share, (s**2 / np.sum(s**2))[:r], atol=1e-12)
    directions = found.mix.T @ rows
    np.testing.assert_allclose(directions, (vt.T * flip).T[:r], atol=1e-6)
    np.testing.assert_allclose(directions @ directions.T, np.eye(r), atol=1e-6)
    assert (found.coefficients[-1] >= 0).all()


def test_temporal_svd_drops_directions_that_vanish(rng):
    rows = np.outer(np.arange(1, 7), rng.standard_normal(50))
    found = temporal_svd(rows @ rows.T, 4)
    assert found.share.tolist() == pytest.approx([1.0])
    frozen = temporal_svd(np.zeros((6, 6)), 3)
    assert frozen.coefficients.shape == frozen.mix.shape == (6, 0)
    assert len(frozen.share) == 0


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e4])
def test_temporal_svd_scales(rng, scale):
    rows = walk(rng, 6, 80)
    one, other = temporal_svd(rows @ rows.T, 2), temporal_svd(scale**2 * rows @ rows.T, 2)
    np.testing.assert_allclose(other.coefficients, scale * one.coefficients, rtol=1e-6)
    np.testing.assert_allclose(other.share, one.share, rtol=1e-9)


# --- curves ---

STEPS = np.array([12.0, 30, 36, 48, 60, 100])


@pytest.mark.parametrize(
    ("fit", "curve", "at", "tolerance"),
    [
        ("linear", lambda t: 3e-4 * t - 0.01, 500, 1e-12),
        ("quadratic", lambda t: 2e-6 * t**2 - 1e-4 * t + 0.02, 500, 1e-9),
        ("quadratic", lambda t: 3e-4 * t - 0.01, 500, 1e-9),
        ("saturating", lambda t: 0.3 * (1 - np.exp(-t / 100)) + 0.05, 500, 1e-9),
        ("saturating", lambda t: 0.3 * (1 - np.exp(-t / 25)) + 0.05, 500, 2e-3),
    ],
)
def test_read_off_recovers_known_curves(fit, curve, at, tolerance):
    assert read_off(STEPS, curve(STEPS), at, fit) == pytest.approx(curve(at), rel=tolerance)


@pytest.mark.parametrize(("fit", "degree"), [("linear", 1), ("quadratic", 2)])
def test_read_off_is_least_squares(rng, fit, degree):
    values = rng.standard_normal(6)
    expected = np.polynomial.Polynomial.fit(STEPS, values, degree)(250.0)
    assert read_off(STEPS, values, 250.0, fit) == pytest.approx(expected, rel=1e-9)


def test_saturating_fit_is_the_best_of_its_grid(rng):
    """Against a dense search over tau: no curve of the family fits the noisy points much better."""
    values = 0.5 * (1 - np.exp(-STEPS / 33)) + 0.01 * rng.standard_normal(6)
    best = (np.inf, 0.0)
    for tau in 100 * np.geomspace(0.1, 10, 41):
        design = np.stack([1 - np.exp(-STEPS / tau), np.ones(6)], axis=1)
        weights = np.linalg.lstsq(design, values, rcond=None)[0]
        error = np.sum((design @ weights - values) ** 2)
        at = weights[0] * (1 - np.exp(-400 / tau)) + weights[1]
        best = min(best, (float(error), float(at)))
    assert read_off(STEPS, values, 400, "saturating") == pytest.approx(best[1], rel=1e-9)


@pytest.mark.parametrize(
    ("count", "fit", "simpler"),
    [(2, "quadratic", "linear"), (2, "saturating", "linear"), (3, "saturating", "linear")],
)
def test_too_few_points_get_the_simpler_curve(rng, count, fit, simpler):
    values = rng.standard_normal(count)
    expected = read_off(STEPS[:count], values, 200, simpler)
    assert read_off(STEPS[:count], values, 200, fit) == expected


def test_one_point_stays_where_it_is():
    assert read_off(np.array([12.0]), np.array([0.7]), 500) == 0.7


def test_line_r2(rng):
    values = rng.standard_normal(6)
    fitted = np.polyval(np.polyfit(STEPS, values, 1), STEPS)
    expected = 1 - np.sum((values - fitted) ** 2) / np.sum((values - values.mean()) ** 2)
    assert line_r2(STEPS, values) == pytest.approx(expected)
    assert line_r2(STEPS, 5 - 0.1 * STEPS) == pytest.approx(1.0)
    assert line_r2(STEPS, np.ones(6)) == 0.0
    assert line_r2(STEPS[:1], values[:1]) == 0.0


# --- null models ---


def test_step_lengths(rng):
    path = np.concatenate([np.zeros((1, 60)), walk(rng, 8, 60)])
    expected = np.linalg.norm(np.diff(path, axis=0), axis=1)
    np.testing.assert_allclose(step_lengths(path[1:] @ path[1:].T), expected, rtol=1e-9)
    assert step_lengths(np.zeros((4, 4))).tolist() == [0.0] * 4


def test_walks_have_the_step_lengths_and_no_drift():
    lengths = np.array([1.0, 3.0, 0.5, 2.0, 2.0])
    draws = list(walk_grams(np.diag(lengths**2).cumsum(0).cumsum(1), 300, seed=0))
    assert len(draws) == 300
    for gram in draws[:5]:
        np.testing.assert_allclose(step_lengths(gram), lengths, rtol=1e-9)
    # E[G_ij] = sum of the squared lengths up to min(i, j); the rest averages out.
    expected = np.minimum.outer(np.cumsum(lengths**2), np.cumsum(lengths**2))
    error = expected.max() / (300 * WALK_DIMENSIONS) ** 0.5
    assert np.abs(np.mean(draws, axis=0) - expected).max() < 4 * error


@pytest.mark.parametrize("t", [27, 50])
def test_walk_null_is_brownian(rng, t):
    """No signal: 8/pi^2 = 0.811 of the energy in one direction, a line explains 0.96 of it."""
    assert brownian_share(1000) == pytest.approx(8 / np.pi**2, rel=2e-3)
    rows = walk(rng, t, 20_000)
    grams = walk_grams(rows @ rows.T, 200, seed=1)
    share, (line,) = line_null("random-walk", grams, [np.arange(1.0, t + 1)])
    assert share.draws.mean() == pytest.approx(brownian_share(t), abs=0.004)
    assert line.draws.mean() == pytest.approx(quarter_sine_r2(t), abs=0.004)
    assert temporal_svd(rows @ rows.T, 1).share[0] == pytest.approx(brownian_share(t), abs=0.01)


def test_walk_null_of_a_frozen_tensor_is_zero():
    grams = walk_grams(np.zeros((5, 5)), 3, seed=0)
    share, (line,) = line_null("random-walk", grams, [np.arange(5.0)])
    assert share.draws.tolist() == line.draws.tolist() == [0.0] * 3


def test_noise_null_of_the_line_has_the_norms_and_no_order():
    norms = np.array([1.0, 3.0, 0.5, 2.0])
    draws = list(noise_grams(np.diag(norms**2), 200, seed=0))
    for gram in draws[:5]:
        np.testing.assert_allclose(np.sqrt(np.diag(gram)), norms, rtol=1e-9)
    cosine = draws[0] / np.outer(norms, norms)
    assert np.abs(cosine[~np.eye(4, dtype=bool)]).max() < 5 / WALK_DIMENSIONS**0.5


def test_pls_null_of_a_walk_is_the_reference_value():
    """No signal: a random walk on the sphere scores about 0.97 in sample, 0.9 left out."""
    rng, t = np.random.default_rng(0), 27
    path = walk(rng, t, 2000)
    u_td = path / np.linalg.norm(path, axis=1)[:, None]
    y_t = np.linspace(0.2, 0.9, t)
    inside = walk_pls(lambda x: pls_r2(x, y_t), u_td, 40, seed=1)
    left = walk_pls(lambda x: pls_left_out_r2(x, y_t), u_td, 40, seed=1)
    assert inside.draws.mean() == pytest.approx(pls_r2(u_td, y_t), abs=0.02)
    assert inside.draws.mean() == pytest.approx(0.97, abs=0.02)
    assert left.draws.mean() == pytest.approx(0.91, abs=0.05)


def test_walks_on_the_sphere_have_the_trajectorys_steps(rng):
    path = walk(rng, 9, 700)
    u_td = path / np.linalg.norm(path, axis=1)[:, None]
    walks: list[np.ndarray] = []
    walk_pls(lambda x: walks.append(x) or 0.0, u_td, 3, seed=0)
    for found in walks:
        assert found.shape == (9, WALK_DIMENSIONS)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-9)
        steps = [np.linalg.norm(np.diff(x, axis=0), axis=1) for x in (found, u_td)]
        np.testing.assert_allclose(*steps, rtol=1e-9)


def test_left_out_r2_of_noise_is_no_better_than_the_mean(rng):
    x, y = rng.standard_normal((27, 2000)), np.linspace(0, 1, 27)
    assert pls_r2(x, y) > 0.95
    assert pls_left_out_r2(x, y) < 0.1
    line = np.outer(y, rng.standard_normal(50))
    assert pls_left_out_r2(line, y) == pytest.approx(1.0, abs=1e-9)
    assert np.isnan(pls_left_out_r2(line[:3], np.array([0.5, 0.5, 0.9])))


@pytest.mark.parametrize("dimensions", [1, 2, 64, 4096])
def test_cosine_of_random_vectors(rng, dimensions):
    null = noise_cosine(dimensions, 20, 300, seed=0)
    a, b = rng.standard_normal((2, 4000, dimensions))
    cosine = np.sum(a * b, 1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    error = np.abs(cosine).std() / 4000**0.5 + null.draws.std() / 300**0.5
    assert null.draws.mean() == pytest.approx(np.abs(cosine).mean(), abs=4 * error + 1e-12)


def test_p_value_counts_the_value_itself():
    null = Null("x", np.array([0.1, 0.2, 0.3, 0.4]))
    assert null.p_value(0.9) == 1 / 5
    assert null.p_value(0.4) == 2 / 5
    assert null.p_value(0.25) == 3 / 5
    assert null.p_value(0.0) == 1.0


def test_permutation_p_values_of_noise_are_uniform(rng):
    clock = np.arange(10.0)
    p = []
    for seed in range(200):
        values = rng.standard_normal(10)
        null = permuted(lambda t, v=values: line_r2(t, v), clock, 99, seed)
        p.append(null.p_value(line_r2(clock, values)))
    assert kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) < 0.05) <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def test_permutation_p_value_of_a_line_is_small_but_not_zero(rng):
    clock = np.arange(10.0)
    values = clock + 0.1 * rng.standard_normal(10)
    null = permuted(lambda t: line_r2(t, values), clock, 199, seed=0)
    assert null.p_value(line_r2(clock, values)) == 1 / 200
    again = permuted(lambda t: line_r2(t, values), clock, 199, seed=0)
    assert np.array_equal(null.draws, again.draws)


# --- hold-out ---


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(10, 0.6, 6), (20, 0.6, 12), (3, 0.6, 2), (3, 0.9, 2), (10, 0.05, 2), (10, 0.99, 9)],
)
def test_holdout_size(count, share, expected):
    assert holdout_size(count, share) == expected


def test_line_holdout_against_dense(rng):
    """The whole definition in weight space: fit the first 5, judge the last 3."""
    steps = np.array([5.0, 10, 20, 25, 40, 45, 60, 80])
    rows = np.outer(steps, rng.standard_normal(70)) / 20 + walk(rng, 8, 70)
    u, s, vt = np.linalg.svd(rows[:5], full_matrices=False)
    a, b = np.polyfit(steps[:5], u[:, 0] * s[0], 1)
    line = np.sum((np.outer(a * steps[5:] + b, vt[0]) - rows[5:]) ** 2)
    keep = np.sum((rows[4] - rows[5:]) ** 2)
    found = line_holdout(rows @ rows.T, steps, 5)
    assert found == pytest.approx(np.sqrt(line / keep), rel=1e-8)


def test_line_holdout_of_an_exact_line_is_zero(rng):
    steps = np.array([5.0, 10, 20, 25, 40, 45])
    rows = np.outer(3 * steps + 2, rng.standard_normal(70))
    assert line_holdout(rows @ rows.T, steps, 4) < 1e-5


def test_line_holdout_of_random_walks_is_worse_than_staying(rng):
    steps = np.arange(1.0, 21)
    found = [line_holdout(r @ r.T, steps, 12) for r in (walk(rng, 20, 400) for _ in range(30))]
    assert min(found) > 1.0


def test_line_holdout_of_frozen_weights_is_nan(rng):
    assert np.isnan(line_holdout(np.zeros((5, 5)), np.arange(5.0), 3))
    rows = np.tile(rng.standard_normal(9), (5, 1))
    assert np.isnan(line_holdout(rows @ rows.T, np.arange(5.0), 3)), "never moves again"


def test_pls_holdout_against_scikit_learn():
    x, y = pls_data("tall")
    pls, line = sklearn_pls(x[:24], y[:24])
    expected = np.abs(line.predict(pls.transform(x[24:])) - y[24:]).mean()
    error, keep = pls_holdout(x, y, 24)
    assert error == pytest.approx(expected, rel=1e-8)
    assert keep == pytest.approx(np.abs(y[23] - y[24:]).mean())


# --- the table ---

PLANTED = [12, 24, 40, 48, 60, 72, 84, 96]
COLUMNS = ["tensor", "layer", "module", "measure", "value", "null", "null_q05", "null_q50",
           "null_q95", "p"]  # fmt: skip
MEASURES = {
    *(("pls_r2", null) for null in ("permutation", "noise", "random-walk")),
    ("pls_left_out_r2", "random-walk"),
    ("holdout_pls_mae", "keep-last"),
    *(("line_r2", null) for null in ("permutation", "noise", "random-walk")),
    *(("line_accuracy_r2", null) for null in ("permutation", "noise", "random-walk")),
    *(("temporal_share", null) for null in ("noise", "random-walk")),
    ("holdout_line_ratio", "keep-last"),
    *((f"cosine_{side}", "noise") for side in ("u1", "v1")),
}


def planted_run() -> tuple[dict, Gram, dict, dict]:
    """Two matrices: one grows along a line and turns with accuracy, one is a random walk.

    Signs of the singular vectors are flipped at random, as an SVD would.
    """
    rng = np.random.default_rng(3)
    steps = np.array(PLANTED, np.float64)
    accuracy = {0: 0.1} | dict(zip(PLANTED, np.sqrt(steps / 100).round(4).tolist(), strict=True))
    a, b = np.linalg.qr(rng.standard_normal((40, 2)))[0].T
    v = rng.standard_normal(30)
    turned = a + np.outer([accuracy[s] for s in PLANTED], b)
    line = steps[:, None, None] * np.einsum("ti,j->tij", turned, v)
    updates = {
        "model.layers.3.mlp.up_proj.weight": line + 0.5 * rng.standard_normal(line.shape),
        "model.layers.0.self_attn.q_proj.weight": walk(rng, 8, 40 * 30).reshape(8, 40, 30),
    }
    factors: dict[int, dict[str, Factors]] = {step: {} for step in PLANTED}
    for name, delta in updates.items():
        for t, step in enumerate(PLANTED):
            u, s, vt = np.linalg.svd(delta[t])
            sign = rng.choice([-1.0, 1.0]) if t < 7 else 1.0
            low = LowRank(sign * u[:, :1], s[:1], sign * vt[:1].T)
            factors[step][name] = Factors(low, float(np.linalg.norm(delta[t])), np.zeros(1))
    flat = {name: delta.reshape(8, -1) for name, delta in updates.items()}
    gram = Gram([*PLANTED, 108], {n: _with_a_later_row(rows, rng) for n, rows in flat.items()})
    return factors, gram, accuracy, flat


def _with_a_later_row(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gram of the rows and one more checkpoint, which has no factors."""
    more = np.concatenate([rows, rng.standard_normal((1, rows.shape[1]))])
    return more @ more.T


def test_dynamics_table_of_a_planted_run():
    factors, gram, accuracy, flat = planted_run()
    lines: list[str] = []
    table = dynamics_table(factors, gram, accuracy, Settings(99, 0.6, 0), lines.append)
    assert list(table.columns) == COLUMNS
    assert len(table) == 2 * len(MEASURES)
    assert len(lines) == 2
    steps, y = np.array(PLANTED, np.float64), np.array([accuracy[s] for s in PLANTED])
    for name, rows in flat.items():
        part = table[table.tensor == name].set_index(["measure", "null"])
        assert set(part.index) == MEASURES
        assert (part.layer == int(name.split(".")[2])).all()
        assert set(part.module) == {name.split(".")[-2]}

        vectors = np.stack([factors[s][name].low.u[:, 0] for s in PLANTED])
        for t in range(6, -1, -1):
            vectors[t] *= np.sign(vectors[t] @ vectors[t + 1])
        pls, line = sklearn_pls(vectors, y)
        u, s, _ = np.linalg.svd(rows, full_matrices=False)
        expected = {
            "pls_r2": line.score(pls.transform(vectors), y),
            "line_r2": np.corrcoef(steps, u[:, 0])[0, 1] ** 2,
            "line_accuracy_r2": np.corrcoef(y, u[:, 0])[0, 1] ** 2,
            "temporal_share": s[0] ** 2 / np.sum(s**2),
            "cosine_u1": np.abs(np.sum(vectors[1:] * vectors[:-1], axis=1)).mean(),
        }
        for measure, value in expected.items():
            assert part.loc[measure].value.tolist() == pytest.approx(
                [value] * len(part.loc[measure]), abs=1e-7
            )
        early, fit = sklearn_pls(vectors[:5], y[:5])
        error = np.abs(fit.predict(early.transform(vectors[5:])) - y[5:]).mean()
        row = part.loc[("holdout_pls_mae", "keep-last")]
        assert row.value == pytest.approx(error, rel=1e-6)
        assert row.null_q50 == pytest.approx(np.abs(y[4] - y[5:]).mean())
        ratio = part.loc[("holdout_line_ratio", "keep-last")]
        assert ratio.value == pytest.approx(line_holdout(rows @ rows.T, steps, 5), rel=1e-6)
        assert ratio.null_q50 == 1.0
        nulls = part[part.index.get_level_values("null") != "keep-last"]
        assert (nulls.null_q05 <= nulls.null_q50).all()
        assert (nulls.null_q50 <= nulls.null_q95).all()
        assert nulls.p.between(1 / 100, 1).all()
        assert part.p[part.index.get_level_values("null") == "keep-last"].isna().all()

    value = table.set_index(["tensor", "measure", "null"])
    signal, noise = flat
    share = ("temporal_share", "random-walk")
    assert value.p[(signal, *share)] == 0.01
    assert value.p[(noise, *share)] > 0.05, "a random walk looks like a random walk"
    assert value.value[(signal, "holdout_line_ratio", "keep-last")] < 0.5
    assert value.value[(noise, "holdout_line_ratio", "keep-last")] > 1


def test_flat_accuracy_leaves_out_pls_and_keeps_the_rest():
    factors, gram, accuracy, _ = planted_run()
    flat = dict.fromkeys(accuracy, 0.7)
    table = dynamics_table(factors, gram, flat, Settings(9, 0.6, 0))
    found = set(zip(table.measure, table.null, strict=True))
    accuracy_needed = ("pls", "accuracy")
    assert found == {m for m in MEASURES if not any(word in m[0] for word in accuracy_needed)}


def test_a_fit_on_a_flat_start_leaves_out_pls_and_keeps_the_rest():
    """Accuracy moves only after the fitted share: the hold-out has no fit."""
    factors, gram, accuracy, _ = planted_run()
    late = {step: 0.7 if step < 72 else 0.9 for step in accuracy}
    table = dynamics_table(factors, gram, late, Settings(9, 0.6, 0))
    assert {m for m in MEASURES if "pls" not in m[0]} <= set(
        zip(table.measure, table.null, strict=True)
    )


@pytest.mark.parametrize(
    ("drop", "lose", "message"),
    [
        (6, [], "found 2 checkpoints"),
        (0, [24, 60], r"no accuracy for steps \[24, 60\]"),
    ],
)
def test_dynamics_refuses(drop, lose, message):
    factors, gram, accuracy, _ = planted_run()
    factors = {step: factors[step] for step in PLANTED[drop:]}
    known = {step: a for step, a in accuracy.items() if step not in lose}
    with pytest.raises(MethodError, match=message) as error:
        dynamics_table(factors, gram, known, Settings(9, 0.6, 0))
    assert "\n" not in str(error.value)


def test_summary_is_the_mean_over_matrices():
    factors, gram, accuracy, _ = planted_run()
    table = dynamics_table(factors, gram, accuracy, Settings(99, 0.6, 0))
    summary = summarize(table)
    for (measure, null), row in summary.iterrows():
        part = table[(table.measure == measure) & (table.null == null)]
        assert row["value"] == pytest.approx(part.value.mean())
        assert row["null_q95"] == pytest.approx(part.null_q95.mean())
        share = float("nan") if null == "keep-last" else (part.p < 0.05).mean()
        assert row["p<0.05"] == pytest.approx(share, nan_ok=True)


def test_dynamics_verb_writes_parquet_and_its_csv_twin(trajectory, tmp_path, cli):
    out = tmp_path / "T.parquet"
    arguments = ["dynamics", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
                 "--scores", trajectory.scores, "--permutations", 20, "--out", out]  # fmt: skip
    result = cli(*arguments)
    assert result.status == 0, result.err
    table, twin = pd.read_parquet(out), pd.read_csv(out.with_suffix(".csv"))
    assert list(table.columns) == list(twin.columns) == COLUMNS
    assert set(table.tensor) == set(trajectory.matrices())
    pd.testing.assert_frame_equal(table, twin, check_dtype=False, rtol=1e-9)
    assert "holdout_line_ratio" in result.out

    factors, gram = tmp_path / "F-{step}.safetensors", tmp_path / "G.safetensors"
    for step, folder in trajectory.folders.items():
        cli("factors", "--base", trajectory.base, "--checkpoint", folder,
            "--rank", 2, "--out", str(factors).replace("{step}", str(step)))  # fmt: skip
    cli("gram", "--base", trajectory.base, "--checkpoints", trajectory.pattern, "--out", gram)
    stored = tmp_path / "S.parquet"
    arguments[-1] = stored
    assert cli(*arguments, "--factors", factors, "--gram", gram).status == 0
    pd.testing.assert_frame_equal(pd.read_parquet(stored), table, rtol=1e-4, atol=1e-6)


def test_dynamics_verb_needs_a_score_for_each_checkpoint(trajectory, tmp_path, cli):
    short = tmp_path / "S.csv"
    short.write_text("step,accuracy\n0,0.4\n10,0.5\n")
    result = cli("dynamics", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
                 "--scores", short, "--out", tmp_path / "T.parquet")  # fmt: skip
    assert "no accuracy for steps [20, 35, 50, 60, 90]" in result.error
    assert not (tmp_path / "T.parquet").exists()
