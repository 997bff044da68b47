"""A forecast judged inside its window: against dense vectors in float64, not by a gram."""

from __future__ import annotations

import numpy as np
import pytest
from alpharl.errors import MethodError
from alpharl.forecasting.backtest import Backtest, backtest, judge
from alpharl.forecasting.candidates import candidates, origins, rehearse, shrunk
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.registry import METHODS
from alpharl.spectra.gram import Gram
from alpharl.spectra.lowrank import LowRank

STEPS = [10, 20, 35, 50, 60, 90]
SIZES = {"model.layers.0.mlp.up_proj.weight": 40, "model.norm.weight": 7}
RNG = np.random.default_rng(0)
PATH = {n: np.cumsum(1 + RNG.standard_normal((len(STEPS), d)), 0) for n, d in SIZES.items()}
"""Updates (T, d) of each tensor: drift and a walk."""


def update(step: int) -> np.ndarray:
    """The update of all tensors together, as one vector."""
    return np.concatenate([rows[STEPS.index(step)] for rows in PATH.values()])


def blended(prediction: Prediction) -> np.ndarray:
    """What a blend stands for, as one vector."""
    return np.concatenate([
        sum(w * rows[STEPS.index(s)] for s, w in prediction.blend[name].items())
        for name, rows in PATH.items()
    ])  # fmt: skip


def window(steps: list[int] = STEPS, target: int = 180) -> Window:
    found = {name: rows @ rows.T for name, rows in PATH.items()}
    return Window(list(steps), target, list(PATH), Gram(STEPS, found))


# --- the numbers ---


@pytest.mark.parametrize("method", ["raw-linear", "relex-pinned", "raw-linear", "momentum",
                                    "weight-extrapolation", "expo"])  # fmt: skip
@pytest.mark.parametrize(("origin", "judged"), [(20, 35), (50, 60), (50, 90)])
def test_numbers_against_dense_vectors(method, origin, judged):
    found = backtest(window(), lambda w: METHODS[method]().forecast(w), origin, judged)
    seen = [step for step in STEPS if step <= origin]
    forecast = blended(METHODS[method]().forecast(window(seen, judged)))
    ahead, trained = forecast - update(origin), update(judged) - update(origin)
    assert (found.origin, found.judged, found.reach) == (origin, judged, judged / origin)
    assert found.way == pytest.approx(trained @ trained, rel=1e-9)
    assert found.move == pytest.approx(ahead @ ahead, rel=1e-9)
    assert found.gain == pytest.approx(ahead @ trained, rel=1e-9)
    error = np.linalg.norm(forecast - update(judged)) / np.linalg.norm(trained)
    assert found.relative_error == pytest.approx(error, rel=1e-9)
    best = np.linalg.lstsq(ahead[:, None], trained, rcond=None)[0]
    assert found.amplitude == pytest.approx(best[0], rel=1e-9)
    cosine = ahead @ trained / np.linalg.norm(ahead) / np.linalg.norm(trained)
    assert found.skill == pytest.approx(max(cosine, 0) ** 2, rel=1e-9)


def test_only_the_steps_up_to_the_origin_are_seen():
    seen = []

    def spy(inner: Window) -> Prediction:
        seen.append((inner.steps, inner.need_gram().steps, inner.target_step))
        return METHODS["last"]().forecast(inner)

    backtest(window(), spy, 35, 90)
    assert seen == [([10, 20, 35], [10, 20, 35], 90)]


def test_the_last_checkpoint_is_worth_one():
    found = backtest(window(), lambda w: METHODS["last"]().forecast(w), 35, 90)
    assert (found.move, found.gain, found.amplitude, found.skill) == (0, 0, 0, 0)
    assert found.relative_error == 1


def test_the_trained_weights_are_worth_everything():
    exact = Prediction({name: {90: 1.0} for name in PATH})
    found = judge(exact, window().need_gram(), 35, 90)
    assert found.relative_error == pytest.approx(0, abs=1e-7)
    assert (found.amplitude, found.skill) == pytest.approx((1, 1))


def test_twice_too_far_has_half_the_amplitude_and_all_the_skill():
    far = Prediction({name: {90: 2.0, 35: -1.0} for name in PATH})
    found = judge(far, window().need_gram(), 35, 90)
    assert (found.relative_error, found.amplitude, found.skill) == pytest.approx((1, 0.5, 1))


def test_the_wrong_way_has_no_skill():
    back = Prediction({name: {90: -1.0, 35: 2.0} for name in PATH})
    found = judge(back, window().need_gram(), 35, 90)
    assert (found.relative_error, found.amplitude) == pytest.approx((2, -1))
    assert found.skill == 0


def test_nothing_is_known_of_a_run_that_stands_still():
    still = Backtest(10, 20, way=0.0, move=0.0, gain=0.0)
    assert np.isnan(still.relative_error)
    assert (still.amplitude, still.skill) == (0, 0)


def test_low_rank_parts_are_refused():
    name = next(iter(PATH))
    low = LowRank(np.ones((8, 1)), np.ones(1), np.ones((5, 1)))
    with pytest.raises(MethodError, match="found a forecast with low-rank parts"):
        judge(Prediction(adapter={name: low}), window().need_gram(), 35, 90)


# --- candidates ---


@pytest.mark.parametrize(
    ("steps", "target", "expected"),
    [
        # The last step is to its origin as the target to the last; and half the window.
        ([10, 20, 40, 80], 160, [40]),
        ([10, 20, 40, 80], 320, [20, 40]),
        ([10, 20, 40, 80, 100], 120, [40, 80]),  # 83, and 50: nearer to 40 by ratio
        (STEPS, 180, [50]),  # 45: 50 / 45 < 45 / 35
        ([10, 20, 30], 1000, [20]),  # never the first: one checkpoint makes no fit
        ([10, 20, 30], 31, [20]),  # nor the last
        ([10, 20], 40, []),
        ([10], 40, []),
    ],
)
def test_origins_are_as_far_from_the_last_step_as_the_target(steps, target, expected):
    assert origins(Window(steps, target, [])) == expected


def test_a_rehearsal_ends_at_the_last_step():
    found = rehearse(window(target=400), "raw-linear")
    assert [(t.origin, t.judged) for t in found.tests] == [(20, 90), (50, 90)]
    assert found.skill == pytest.approx(np.mean([t.skill for t in found.tests]))
    assert found.amplitude == pytest.approx(np.mean([t.amplitude for t in found.tests]))


def test_candidates_are_ranked_and_none_fits_too_short_a_window():
    found = candidates(window())
    skills = [candidate.skill for candidate in found]
    assert skills == sorted(skills, reverse=True)
    assert {c.label for c in found} == {"raw-linear", "relex-pinned", "weight-extrapolation"}
    assert candidates(window([10, 20])) == []


def test_a_candidate_forecasts_as_the_method_of_its_name_does():
    for candidate in candidates(window()):
        method = METHODS[candidate.label]().forecast(window())
        assert candidate.forecast(window()).blend == method.blend


@pytest.mark.parametrize("amplitude", [0, 0.25, 1, 1.5])
@pytest.mark.parametrize("method", ["raw-linear", "raw-linear", "weight-extrapolation"])
def test_shrunk_goes_part_of_the_way_from_the_last_checkpoint(method, amplitude):
    """Also a blend that does not name the last step."""
    whole = METHODS[method]().forecast(window())
    found = blended(shrunk(window(), whole, amplitude))
    expected = update(90) + amplitude * (blended(whole) - update(90))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    first = Prediction({name: {10: 3.0} for name in PATH})
    found = blended(shrunk(window(), first, amplitude))
    np.testing.assert_allclose(found, update(90) + amplitude * (3 * update(10) - update(90)))
