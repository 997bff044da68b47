"""Null models against closed forms and reference values."""

from __future__ import annotations

import numpy as np
import pytest
from alpharl.dynamics.lines import leading, line_r2
from alpharl.dynamics.nulls import (
    WALK_DIMENSIONS,
    Null,
    noise_cosine,
    noise_grams,
    noise_vectors,
    shuffles,
    sphere_walks,
    step_lengths,
    turns,
    walk_grams,
)
from alpharl.dynamics.pls import pls_left_out_r2, pls_r2
from alpharl.dynamics.temporal import temporal_svd
from scipy.stats import kstest
from tests.unit.trajectories import brownian_share, quarter_sine_r2, walk


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(0)


def test_step_lengths(rng):
    path = np.concatenate([np.zeros((1, 60)), walk(rng, 8, 60)])
    expected = np.linalg.norm(np.diff(path, axis=0), axis=1)
    np.testing.assert_allclose(step_lengths(path[1:] @ path[1:].T), expected, rtol=1e-9)
    assert step_lengths(np.zeros((4, 4))).tolist() == [0.0] * 4


def test_walks_have_the_step_lengths_and_no_drift():
    lengths = np.array([1.0, 3.0, 0.5, 2.0, 2.0])
    draws = walk_grams(np.diag(lengths**2).cumsum(0).cumsum(1), 300, seed=0)
    assert len(draws) == 300
    for gram in draws[:5]:
        np.testing.assert_allclose(step_lengths(gram), lengths, rtol=1e-9)
    # E[G_ij] = sum of the squared lengths up to min(i, j); the rest averages out.
    expected = np.minimum.outer(np.cumsum(lengths**2), np.cumsum(lengths**2))
    error = expected.max() / (300 * WALK_DIMENSIONS) ** 0.5
    assert np.abs(draws.mean(0) - expected).max() < 4 * error


@pytest.mark.parametrize("t", [27, 50])
def test_walk_null_is_brownian(rng, t):
    """No signal: 8/pi^2 = 0.811 of the energy in one direction, a line explains 0.96 of it."""
    assert brownian_share(1000) == pytest.approx(8 / np.pi**2, rel=2e-3)
    rows = walk(rng, t, 20_000)
    grams = walk_grams(rows @ rows.T, 200, seed=1)
    share, first = leading(grams)
    line = line_r2(np.arange(1.0, t + 1), first)
    assert share.mean() == pytest.approx(brownian_share(t), abs=0.004)
    assert line.mean() == pytest.approx(quarter_sine_r2(t), abs=0.004)
    assert temporal_svd(rows @ rows.T, 1).share[0] == pytest.approx(brownian_share(t), abs=0.01)


def test_walk_null_of_a_frozen_tensor_is_zero():
    grams = walk_grams(np.zeros((5, 5)), 3, seed=0)
    share, first = leading(grams)
    assert share.tolist() == line_r2(np.arange(5.0), first).tolist() == [0.0] * 3


def test_noise_null_of_the_line_has_the_norms_and_no_order():
    norms = np.array([1.0, 3.0, 0.5, 2.0])
    draws = noise_grams(np.diag(norms**2), 200, seed=0)
    for gram in draws[:5]:
        np.testing.assert_allclose(np.sqrt(np.diag(gram)), norms, rtol=1e-9)
    cosine = draws[0] / np.outer(norms, norms)
    assert np.abs(cosine[~np.eye(4, dtype=bool)]).max() < 5 / WALK_DIMENSIONS**0.5


def sphere_path(rng: np.random.Generator, t: int, d: int) -> np.ndarray:
    """A random walk's directions (T, d)."""
    path = walk(rng, t, d)
    return path / np.linalg.norm(path, axis=1)[:, None]


def test_pls_null_of_a_walk_is_the_reference_value(rng):
    """No signal: a random walk on the sphere scores about 0.97 in sample, 0.9 left out."""
    u_td, y_t = sphere_path(rng, 27, 2000), np.linspace(0.2, 0.9, 27)
    walks = np.concatenate(list(sphere_walks(np.tile(turns(u_td), (40, 1)), 2000, seed=1)))
    inside = pls_r2(walks, y_t).mean()
    assert inside == pytest.approx(pls_r2(u_td, y_t), abs=0.02)
    assert inside == pytest.approx(0.97, abs=0.02)
    left_out = pls_left_out_r2(walks, y_t).mean()
    assert left_out == pytest.approx(0.91, abs=0.05)


def test_walks_on_the_sphere_have_the_trajectorys_steps(rng):
    u_td = sphere_path(rng, 9, 700)
    expected = np.linalg.norm(np.diff(u_td, axis=0), axis=1)
    (walks,) = sphere_walks(np.tile(turns(u_td), (3, 1)), 700, seed=0)
    assert walks.shape == (3, 9, WALK_DIMENSIONS)
    np.testing.assert_allclose(np.linalg.norm(walks, axis=2), 1, rtol=1e-9)
    for found in np.linalg.norm(np.diff(walks, axis=1), axis=2):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_each_walk_on_the_sphere_turns_by_its_own_angles():
    angles = np.array([[0.0, 0.3, np.pi / 2], [1.0, 0.0, 0.1]])
    (walks,) = sphere_walks(angles, 40, seed=0)
    cosines = np.sum(walks[:, 1:] * walks[:, :-1], axis=2)
    np.testing.assert_allclose(cosines, np.cos(angles), atol=1e-12)


@pytest.mark.parametrize("draws", [1, 7, 64])
def test_draws_do_not_depend_on_how_many_fit_in_memory(monkeypatch, draws):
    angles = np.full((draws, 3), 0.2)
    whole = [np.concatenate(list(made)) for made in (noise_vectors(4, 50, draws, 3),
             sphere_walks(angles, 50, 3))]  # fmt: skip
    monkeypatch.setattr("alpharl.dynamics.nulls.AT_ONCE", 5000)
    parts = [list(noise_vectors(4, 50, draws, 3)), list(sphere_walks(angles, 50, 3))]
    assert all(len(found) == -(-draws // 6) for found in parts)
    for one, some in zip(whole, parts, strict=True):
        assert np.array_equal(one, np.concatenate(some))


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


def test_p_value_of_an_error_counts_the_smaller_ones():
    null = Null("x", np.array([0.1, 0.2, 0.3, 0.4]))
    assert null.p_value(0.05, smaller=True) == 1 / 5
    assert null.p_value(0.1, smaller=True) == 2 / 5
    assert null.p_value(0.9, smaller=True) == 1.0
    assert np.isnan(null.p_value(float("nan"))), "what was not measured has no p"


def permuted(clock: np.ndarray, values: np.ndarray, draws: int, seed: int) -> Null:
    """R2 of the line with its clock shuffled."""
    shuffled = clock[shuffles(len(clock), draws, seed)]
    return Null("permutation", line_r2(shuffled, values))


def test_permutation_p_values_of_noise_are_uniform(rng):
    clock = np.arange(10.0)
    p = []
    for seed in range(200):
        values = rng.standard_normal(10)
        null = permuted(clock, values, 99, seed)
        p.append(null.p_value(line_r2(clock, values)))
    assert kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) < 0.05) <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def test_permutation_p_value_of_a_line_is_small_but_not_zero(rng):
    clock = np.arange(10.0)
    values = clock + 0.1 * rng.standard_normal(10)
    null = permuted(clock, values, 199, seed=0)
    assert null.p_value(line_r2(clock, values)) == 1 / 200
    again = permuted(clock, values, 199, seed=0)
    assert np.array_equal(null.draws, again.draws)
