"""Temporal SVD and curves against numpy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from alpharl.dynamics.temporal import read_off, temporal_svd
from tests.unit.trajectories import walk


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
