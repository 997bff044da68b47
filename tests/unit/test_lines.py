"""Lines through the leading direction, and the hold-out in weight space, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from alpharl.dynamics.fits import Settings
from alpharl.dynamics.lines import leading, line_holdout, line_r2
from alpharl.dynamics.temporal import temporal_svd
from tests.unit.trajectories import walk


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(0)


STEPS = np.array([12.0, 30, 36, 48, 60, 100])


def test_line_r2(rng):
    values = rng.standard_normal(6)
    fitted = np.polyval(np.polyfit(STEPS, values, 1), STEPS)
    expected = 1 - np.sum((values - fitted) ** 2) / np.sum((values - values.mean()) ** 2)
    assert line_r2(STEPS, values) == pytest.approx(expected)
    assert line_r2(STEPS, 5 - 0.1 * STEPS) == pytest.approx(1.0)
    assert line_r2(STEPS, np.ones(6)) == 0.0
    assert line_r2(STEPS[:1], values[:1]) == 0.0


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


def test_line_holdout_from_weights_that_never_left_the_base_is_nan():
    awake = np.zeros((6, 6))
    awake[3:, 3:] = np.diag([1.0, 4, 9])
    assert np.isnan(line_holdout(awake, np.arange(1.0, 7), 3))


def test_leading_direction_of_frozen_weights_is_zero(rng):
    """Frozen from the start, and frozen later: share 0 and R2 0, and share 1."""
    still = np.tile(rng.standard_normal(9), (6, 1))
    share, first = leading(np.stack([np.zeros((6, 6)), still @ still.T]))
    assert share.tolist() == pytest.approx([0, 1])
    assert not first[0].any()
    line = line_r2(np.arange(1.0, 7), first)
    assert line[0] == 0 and np.isfinite(line).all()


# --- draws ---


def test_lines_of_many_draws_against_dense(rng):
    steps = np.array([5.0, 10, 20, 25, 40, 45, 60, 80])
    rows = np.stack([1e-3 * walk(rng, 8, 60) + np.outer(steps, np.ones(60)) * s for s in (0, 1e-5)])
    share, first = leading(rows @ rows.swapaxes(1, 2))
    for clock in (steps, rng.standard_normal(8)):
        for b in range(2):
            u, s, _ = np.linalg.svd(rows[b], full_matrices=False)
            assert share[b] == pytest.approx(s[0] ** 2 / np.sum(s**2), rel=1e-9)
            expected = np.corrcoef(clock, u[:, 0])[0, 1] ** 2
            assert line_r2(clock, first)[b] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("draws", [1, 2, 7, 200])
@pytest.mark.parametrize("count", [3, 8, 20])
def test_a_draw_does_not_depend_on_the_others(rng, draws, count):
    """To the last bit: a run alone, one in a batch, and the same run among other draws."""
    steps, accuracy = np.cumsum(rng.integers(1, 9, count)).astype(float), rng.random(count)
    rows = walk(rng, count, 60)
    gram = rows @ rows.T
    others = np.stack([r @ r.T for r in rng.standard_normal((draws, count, 60))])
    fitted = Settings(holdout=0.6).fitted(count)
    for batch in (gram[None], np.concatenate([others, gram[None]])):
        (share, first), (alone, vector) = leading(batch), leading(gram)
        assert share[-1] == alone == pytest.approx(temporal_svd(gram, 1).share[0], rel=1e-14)
        for clock in (steps, accuracy):
            assert line_r2(clock, first)[-1] == line_r2(clock, vector)
        assert line_holdout(batch, steps, fitted)[-1] == line_holdout(gram, steps, fitted)
