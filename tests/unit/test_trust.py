"""The verdict on made-up runs whose future is known: by geometry, by accuracy, by trials."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from alpharl.errors import MethodError
from alpharl.forecasting.evidence import rotation
from alpharl.forecasting.trust import CAUTION, assess
from alpharl.spectra.gram import Gram
from tests.unit.paths import (
    STEPS,
    TARGET,
    WALKS,
    against,
    error,
    levelling,
    line,
    noisy_line,
    rising,
    rotating,
    saturating,
    turned,
    value,
    walk_window,
    window_of,
)

GEOMETRY = ["hold-out", "random walk", "rotation"]


# --- geometry, where the accuracy leaves room ---


def test_a_line_is_predictable():
    verdict = assess(window_of(line, accuracy=rising()))
    assert verdict.supported
    # Without trials only half of the best rehearsed amplitude, 1, is taken.
    assert (verdict.step, verdict.amplitude) == ((80 + TARGET) / 2, pytest.approx(CAUTION))
    assert error(verdict.prediction, line) == pytest.approx(1 - CAUTION)
    assert value(verdict, "hold-out") == pytest.approx(0, abs=1e-6)
    assert value(verdict, "rotation") == pytest.approx(1)
    assert value(verdict, "random walk") == 0.01, "none of 99 walks"
    assert [e.name for e in verdict.evidence] == [*GEOMETRY, "room", "levelling off"]
    assert verdict.lines[0] == f"supported, by {verdict.method} as far as step {verdict.step}"
    assert all(text.startswith("+ ") for text in verdict.lines[1:])


@pytest.mark.parametrize(("noise", "most"), [(4, 0.55), (8, 0.6), (16, 0.7)])
def test_a_line_under_noise_is_predictable_and_comes_closer(noise, most):
    """Noise of 5, 10 and 20 % of the window's way; the error is in units of keeping the last.

    Half the way of an exact line would leave 0.5.
    """

    def path(step: float) -> np.ndarray:
        return noisy_line(step, noise)

    verdict = assess(window_of(path, accuracy=rising()))
    assert verdict.supported
    assert verdict.amplitude < CAUTION
    assert error(verdict.prediction, path) < most


def test_a_line_that_drowns_in_noise_is_not():
    verdict = assess(window_of(lambda step: noisy_line(step, 40), accuracy=rising()))
    assert not verdict.supported
    assert "hold-out" in against(verdict)


def test_a_curve_that_saturates_late_is_followed_part_of_the_way():
    """The rehearsals overshoot too, so the amplitude shortens the move."""

    def path(step: float) -> np.ndarray:
        return saturating(step, 160)

    verdict = assess(window_of(path, accuracy=rising()))
    assert verdict.supported
    assert 0.7 < verdict.amplitude / CAUTION < 0.9
    assert verdict.step == round(80 + verdict.amplitude * 80)
    assert error(verdict.prediction, path) < 0.6


@pytest.mark.parametrize("rate", [20, 40])
def test_a_curve_that_saturates_in_the_window_is_not_supported(rate):
    """Its direction never changes: only the overshoot in the window speaks against it."""
    verdict = assess(window_of(lambda step: saturating(step, rate), accuracy=rising()))
    assert not verdict.supported
    assert against(verdict) == {"hold-out"}
    assert value(verdict, "hold-out") > 1


@pytest.mark.parametrize("turn", [np.pi / 4, np.pi / 2, np.pi, 1.5 * np.pi])
def test_rotation_is_half_the_angle_that_a_circle_turns(turn):
    """The chords of two adjacent arcs, each half of the turn, differ by half of it."""
    found = rotation(window_of(lambda step: rotating(step, turn)))
    assert found.value == pytest.approx(np.cos(turn / 2), abs=1e-9)
    assert found.speaks_for == (turn <= np.pi / 2)


@pytest.mark.parametrize("turn", [np.pi, 1.5 * np.pi, 2 * np.pi])
def test_a_path_that_turns_round_is_not_supported(turn):
    verdict = assess(window_of(lambda step: rotating(step, turn), accuracy=rising()))
    assert not verdict.supported
    assert {"rotation", "hold-out"} <= against(verdict)


def test_a_change_of_course_at_half_the_window_is_not_supported():
    verdict = assess(window_of(turned, accuracy=rising()))
    assert not verdict.supported
    assert value(verdict, "rotation") == pytest.approx(0, abs=1e-12)
    assert {"rotation", "hold-out", "random walk"} == against(verdict)


def test_a_change_of_course_long_ago_does_not_matter():
    def path(step: float) -> np.ndarray:
        return turned(step, at=20)

    verdict = assess(window_of(path, accuracy=rising()))
    assert verdict.supported
    assert verdict.method in ("raw-linear", "relex-pinned")
    assert error(verdict.prediction, path) < 0.6


@pytest.mark.parametrize(("seed", "count"), WALKS)
def test_a_random_walk_is_never_supported(seed, count):
    verdict = assess(walk_window(seed, count)[1])
    assert not verdict.supported
    assert {"hold-out", "rotation"} <= against(verdict), "whatever p says, one time in twenty"


# --- accuracy, on a perfect line ---


def test_accuracy_that_levels_off_is_not_supported():
    accuracy = {step: levelling(step) for step in (0, *STEPS)}
    verdict = assess(window_of(line, accuracy=accuracy))
    assert not verdict.supported
    assert against(verdict) == {"levelling off"}
    assert value(verdict, "levelling off") == pytest.approx(0)


def test_accuracy_without_room_is_not_supported():
    """0.2 to 0.9: nine tenths of the way at the end, less the mean of the last two."""
    verdict = assess(window_of(line, accuracy=rising(by=0.7)))
    assert not verdict.supported
    assert against(verdict) == {"room"}
    assert value(verdict, "room") == pytest.approx(0.7 * 7.5 / 8 / 0.8)


def test_a_base_that_knows_everything_leaves_no_room():
    verdict = assess(window_of(line, accuracy=dict.fromkeys((0, *STEPS), 1.0)))
    assert against(verdict) == {"room"}


def test_accuracy_that_falls_is_not_supported():
    """A line that leads away from what is wanted is a line, too."""
    verdict = assess(window_of(line, accuracy=rising(by=-0.15)))
    assert not verdict.supported
    assert against(verdict) == {"room"}


def test_a_small_gain_s_course_is_not_read():
    """It would be noise divided by noise."""
    verdict = assess(window_of(line, accuracy=rising(by=0.05)))
    assert [e.name for e in verdict.evidence] == [*GEOMETRY, "room"]
    assert verdict.supported


@pytest.mark.parametrize("known", [None, {}, {70: 0.4, 80: 0.5}, {0: 0.2, 10: 0.3, 20: 0.3}])
def test_without_accuracies_it_is_no_and_says_why(known):
    """Two are no course; and what the last checkpoint scores must be known."""
    verdict = assess(window_of(line, accuracy=known))
    assert not verdict.supported
    assert against(verdict) == {"accuracy"}
    assert verdict.lines[0] == "not supported, keep the last checkpoint"
    (reason,) = (text for text in verdict.lines if text.startswith("- "))
    assert "weights alone do not show that anything is gained" in reason


# --- what is too short, or later ---


@pytest.mark.parametrize("count", [1, 2])
def test_too_short_a_window_is_no_and_says_why(count):
    verdict = assess(window_of(line, STEPS[:count], accuracy=rising(STEPS[:count])))
    assert (verdict.supported, verdict.method, verdict.amplitude) == (False, "last", 0)
    assert verdict.step == STEPS[count - 1]
    assert verdict.lines[1:] == [
        f"- the window holds {count} checkpoints; a rehearsal needs 3 at least"
    ]


def test_nothing_later_than_the_window_is_read():
    """Later rows of the gram and later accuracies are NaN."""
    plain = window_of(noisy_line, accuracy=rising())
    known = [*STEPS, 100, 120]
    grams = {n: np.pad(g, (0, 2), constant_values=np.nan) for n, g in plain.gram.tensors.items()}
    accuracy = rising() | {100: float("nan"), 120: float("nan")}
    later = replace(plain, gram=Gram(known, grams), accuracy=accuracy)
    one, other = assess(plain), assess(later)
    assert one.as_json() == other.as_json()
    assert one.prediction.blend == other.prediction.blend


def test_a_gram_is_needed():
    with pytest.raises(MethodError, match="found no gram"):
        assess(replace(window_of(line), gram=None))


def test_a_verdict_is_the_same_each_time():
    """The random walks beside it are drawn from a fixed seed."""
    _, window = walk_window(3, 8)
    assert assess(window).as_json() == assess(window).as_json()
