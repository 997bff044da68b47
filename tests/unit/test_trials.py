"""The verdict where trial models are scored: they decide, but for random walks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from alpharl.forecasting.evidence import LEVEL
from alpharl.forecasting.trust import assess
from tests.unit.paths import (
    STEPS,
    TARGET,
    WALKS,
    against,
    blended,
    error,
    levelling,
    line,
    nearness,
    rising,
    value,
    walk_window,
    window_of,
)


def test_trials_that_score_better_support_a_forecast():
    """Also where no accuracy is given, and where it levels off."""
    accuracy = {step: levelling(step) for step in (0, *STEPS)}
    for known in (None, accuracy):
        window = window_of(line, accuracy=known, validate=nearness(line, TARGET))
        verdict = assess(window)
        assert verdict.supported
        assert (verdict.amplitude, verdict.step) == (1, TARGET)
        assert error(verdict.prediction, line) < 1e-6


@pytest.mark.parametrize(("best", "amplitude"), [(100, 0.25), (120, 0.5), (160, 1)])
def test_the_amplitude_is_that_of_the_best_trial(best, amplitude):
    """The scorer stands for a run that is best at a step; the trials lie at 100, 120 and 160."""
    verdict = assess(window_of(line, validate=nearness(line, best)))
    assert verdict.supported
    assert (verdict.amplitude, verdict.step) == (amplitude, best)
    np.testing.assert_allclose(blended(verdict.prediction, line), line(best), atol=1e-6)


def test_trials_that_score_worse_refuse_the_best_of_lines():
    verdict = assess(window_of(line, accuracy=rising(), validate=nearness(line, 80)))
    assert not verdict.supported
    assert against(verdict) == {"trial"}
    assert value(verdict, "trial") < 0


@pytest.mark.parametrize(("better", "supported"), [(3, False), (4, True), (40, True)])
def test_a_trial_must_beat_its_standard_error_twice(better, supported):
    """k of 100 answers more right, none worse: mean k/100, error sqrt(p (1 - p) / 99)."""

    def validate(prediction) -> np.ndarray:
        moved = np.linalg.norm(blended(prediction, line) - line(80)) > 1e-6
        return np.where(np.arange(100) < (50 + better if moved else 50), 1.0, 0.0)

    p = better / 100
    assert (p > 2 * np.sqrt(p * (1 - p) / 99)) == supported
    verdict = assess(window_of(line, validate=validate))
    assert verdict.supported == supported
    assert value(verdict, "trial") == pytest.approx(p)


def test_the_models_that_are_scored():
    """The last checkpoint first; half the way by two methods; all and a quarter by one of them."""
    scored = []

    def validate(prediction) -> np.ndarray:
        scored.append(blended(prediction, line))
        return np.array([1.0, 0.0])

    assess(window_of(line, validate=validate))
    along = [model @ line(1) for model in scored]
    later = along.pop(2)
    assert along == pytest.approx([80, 120, 160, 100])
    assert 100 < later < 120, "weight-extrapolation keeps the norm layer of step 80"


def test_more_is_not_tried_where_half_scores_worse():
    scored = []

    def validate(prediction) -> np.ndarray:
        scored.append(blended(prediction, line) @ line(1))
        return np.array([1.0, 1.0 if scored[-1] == scored[0] else 0.0])

    assess(window_of(line, validate=validate))
    assert len(scored) == 4
    assert max(scored) == pytest.approx(120)


@pytest.mark.parametrize(("seed", "count"), WALKS[:8])
def test_a_random_walk_is_refused_even_if_a_trial_scores_better(seed, count):
    """A scorer that likes whatever differs from the last checkpoint."""
    path, window = walk_window(seed, count)
    last = path(window.last)

    def validate(prediction) -> np.ndarray:
        moved = np.linalg.norm(blended(prediction, path) - last) > 1e-6
        return np.where(np.arange(100) < (90 if moved else 10), 1.0, 0.0)

    verdict = assess(replace(window, validate=validate))
    assert value(verdict, "trial") == pytest.approx(0.8)
    assert value(verdict, "random walk") > LEVEL
    assert not verdict.supported
