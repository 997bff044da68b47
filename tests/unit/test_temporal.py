"""Temporal SVD, curves and the forward hold-out against numpy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from alpharl.dynamics import many
from alpharl.dynamics.holdout import holdout_size, line_holdout, pls_holdout
from alpharl.dynamics.temporal import line_r2, read_off, temporal_svd
from tests.unit.trajectories import pls_data, sklearn_pls, walk


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(0)


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


# --- many at once ---


def test_many_lines_are_the_single_ones(rng):
    steps = np.array([5.0, 10, 20, 25, 40, 45, 60, 80])
    clocks = [steps, rng.standard_normal(8)]
    rows = np.stack([1e-3 * walk(rng, 8, 60) + np.outer(steps, np.ones(60)) * s for s in (0, 1e-5)])
    grams = rows @ rows.swapaxes(1, 2)
    share, lines = many.line_fits(grams, clocks)
    ratio = many.line_holdout(grams, steps, 5)
    for b, gram in enumerate(grams):
        first = temporal_svd(gram, 1)
        assert share[b] == pytest.approx(first.share[0], rel=1e-9)
        for clock, found in zip(clocks, lines, strict=True):
            assert found[b] == pytest.approx(line_r2(clock, first.coefficients[:, 0]), rel=1e-8)
        assert ratio[b] == pytest.approx(line_holdout(gram, steps, 5), rel=1e-8)


def test_many_lines_of_frozen_weights_are_numbers(rng):
    """Frozen from the start, and frozen later: share 0 and R2 0, and no gain or loss."""
    steps, still = np.arange(1.0, 7), np.tile(rng.standard_normal(9), (6, 1))
    grams = np.stack([np.zeros((6, 6)), still @ still.T])
    share, (line,) = many.line_fits(grams, [steps])
    assert share.tolist() == pytest.approx([0, 1])
    assert line[0] == 0 and np.isfinite(line).all()
    assert many.line_holdout(grams, steps, 3)[0] == 1
    awake = np.zeros((1, 6, 6))
    awake[0, 3:, 3:] = np.diag([1.0, 4, 9])
    assert many.line_holdout(awake, steps, 3).tolist() == [1.0], "no forecast is the base"
