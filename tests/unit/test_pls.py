"""Signs and partial least squares against scikit-learn, of one run and of many draws."""

from __future__ import annotations

import numpy as np
import pytest
from alpharl.dynamics.align import align_backwards
from alpharl.dynamics.pls import fit_pls, has_fit, pls_holdout, pls_left_out_r2, pls_r2
from alpharl.dynamics.ratio import r_squared
from alpharl.errors import UndefinedForecast
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import r2_score
from tests.unit.trajectories import CASES, pls_data, sklearn_pls, walk


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(0)


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
            assert not has_fit(x, y)
        else:
            fitted.append(count)
    assert fitted == [], "numbers of checkpoints at which a fit came out all the same"


def test_pls_of_one_checkpoint_is_undefined(rng):
    with pytest.raises(UndefinedForecast, match="PLS over 1 checkpoints"):
        fit_pls(rng.standard_normal((1, 5)), np.array([0.5]))


@pytest.mark.parametrize("flat", [True, False])
def test_pls_of_accuracies_that_do_not_follow_the_vectors_is_undefined(flat):
    """Up and down again, along a line: no column goes with the accuracies at all."""
    y = np.array([0.0, 1.0, 0.0 if flat else 0.5])
    assert has_fit(np.outer([-1.0, 0.0, 1.0], np.ones(4)), y) is not flat


def test_in_sample_r2_of_pure_noise_is_near_one(rng):
    """27 points of d = 4096 noise: 0.995 (reference/alpharl.md 2.5). So the null must show it."""
    y = np.linspace(0.3, 0.9, 27)
    found = pls_r2(rng.standard_normal((12, 27, 4096)), y)
    assert found.shape == (12,)
    assert found.mean() == pytest.approx(0.995, abs=0.001)
    assert found.min() > 0.914, "the paper's mean R2 is below all of noise"
    smaller = pls_r2(rng.standard_normal((200, 27, 512)), y)
    assert smaller.mean() == pytest.approx(0.960, abs=0.005)


def test_r_squared():
    y = np.array([1.0, 2.0, 4.0])
    assert r_squared(y, y) == 1.0
    assert r_squared(y, np.full(3, y.mean())) == 0.0
    assert r_squared(y, np.array([1.0, 2.0, 3.0])) == pytest.approx(1 - 1 / (14 / 3))
    assert r_squared(np.ones(3), y) == 0.0


def test_left_out_r2_of_noise_is_no_better_than_the_mean(rng):
    x, y = rng.standard_normal((27, 2000)), np.linspace(0, 1, 27)
    assert pls_r2(x, y) > 0.95
    assert pls_left_out_r2(x, y) < 0.1
    line = np.outer(y, rng.standard_normal(50))
    assert pls_left_out_r2(line, y) == pytest.approx(1.0, abs=1e-9)


def sklearn_measures(x: np.ndarray, y: np.ndarray, fitted: int) -> list[float]:
    """In-sample and left-out R2, and hold-out error, each from fits of scikit-learn."""

    def predict(rows: np.ndarray) -> np.ndarray:
        pls, line = sklearn_pls(x[rows], y[rows])
        predicted: np.ndarray = line.predict(pls.transform(x))
        return predicted

    index = np.arange(len(y))
    left_out = np.array([predict(index != i)[i] for i in index])
    error = np.abs(predict(index < fitted) - y)[fitted:].mean()
    return [r2_score(y, predict(index >= 0)), r2_score(y, left_out), float(error)]


def measures(x: np.ndarray, y: np.ndarray, fitted: int) -> np.ndarray:
    """The same (..., 3)."""
    return np.stack([pls_r2(x, y), pls_left_out_r2(x, y), pls_holdout(x, y, fitted)], axis=-1)


@pytest.mark.parametrize("case", ["wide", "tall", "one column", "tiny values"])
def test_draws_against_scikit_learn(rng, case):
    """One run, many trajectories with one clock, and one trajectory with many clocks."""
    paths = np.stack([pls_data(case, seed)[0] for seed in range(5)])
    clocks = rng.standard_normal((5, paths.shape[1]))
    fitted = paths.shape[1] // 2 + 1
    expected = [sklearn_measures(x, clocks[0], fitted) for x in paths]
    np.testing.assert_allclose(measures(paths[0], clocks[0], fitted), expected[0], rtol=1e-7)
    np.testing.assert_allclose(measures(paths, clocks[0], fitted), expected, rtol=1e-7)
    np.testing.assert_allclose(measures(paths, clocks[:1], fitted), expected, rtol=1e-7)
    expected = [sklearn_measures(paths[0], y, fitted) for y in clocks]
    np.testing.assert_allclose(measures(paths[0], clocks, fitted), expected, rtol=1e-7)


@pytest.mark.parametrize("draws", [1, 2, 7, 200])
@pytest.mark.parametrize(("count", "dimensions"), [(3, 8), (8, 40), (20, 128), (20, 513)])
def test_a_draw_does_not_depend_on_the_others(rng, draws, count, dimensions):
    """To the last bit: a run alone, one in a batch, and the same run among other draws."""
    x, y = rng.standard_normal((count, dimensions)), rng.random(count)
    others_x, others_y = rng.standard_normal((draws, count, dimensions)), rng.random((draws, count))
    fitted = max(2, round(0.6 * count))
    alone = measures(x, y, fitted)
    assert np.array_equal(measures(x[None], y[None], fitted), [alone])
    clocks, paths = np.concatenate([others_y, [y]]), np.concatenate([others_x, [x]])
    assert np.array_equal(measures(x, clocks, fitted)[-1], alone)
    assert np.array_equal(measures(paths, y, fitted)[-1], alone)
    assert np.array_equal(measures(paths, clocks, fitted)[-1], alone)


def test_draws_take_float32_and_compute_in_float64(rng):
    x, y = rng.standard_normal((3, 8, 30)).astype(np.float32), np.linspace(0.1, 0.7, 8)
    assert np.array_equal(measures(x, y, 5), measures(x.astype(np.float64), y, 5))


def test_draws_predict_the_mean_where_nothing_varies(rng):
    """No nan among the draws: a still trajectory, and accuracies that start to move late."""
    x, y = rng.standard_normal((1, 8, 30)), np.linspace(0.1, 0.7, 8)[None]
    still = measures(np.full((1, 8, 30), 0.9739), y, 5)[0]
    mean_of_others = [(y.sum() - value) / 7 for value in y[0]]
    assert still[0] == pytest.approx(0, abs=1e-12)
    assert still[1] == pytest.approx(r_squared(y[0], np.array(mean_of_others)))
    assert still[2] == pytest.approx(np.abs(y[0, :5].mean() - y[0, 5:]).mean())
    late = np.array([[0.7] * 5 + [0.8, 0.9, 0.6]])
    assert measures(x, late, 5)[0, 2] == pytest.approx(np.mean([0.1, 0.2, 0.1]))
    assert np.isfinite(measures(x, np.full((1, 8), 0.7), 5)).all()
    assert np.isfinite(measures(x[:, :3], np.array([0.5, 0.5, 0.9]), 2)).all()


def test_pls_holdout_against_scikit_learn():
    x, y = pls_data("tall")
    pls, line = sklearn_pls(x[:24], y[:24])
    expected = np.abs(line.predict(pls.transform(x[24:])) - y[24:]).mean()
    assert pls_holdout(x, y, 24) == pytest.approx(expected, rel=1e-8)
