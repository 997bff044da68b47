"""Every forecaster against a dense reference that is written from the published formula."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.errors import MethodError
from alpharl.forecasting.contract import Window
from alpharl.forecasting.registry import METHODS
from alpharl.spectra.gram import Gram
from safetensors.torch import load_file
from tests.unit.forecasts import (
    CASES,
    ELSEWHERE,
    IDS,
    SEEN,
    TARGET,
    THROUGH,
    UP,
    applied,
    assert_close,
    dense_window,
    forecast_args,
    options,
)


def test_every_method_is_compared():
    assert {case[0] for case in CASES} | set(ELSEWHERE) == set(METHODS)
    assert all((Path(__file__).parent / file).is_file() for file in ELSEWHERE.values())


@pytest.mark.parametrize(("method", "given", "reference", "settings"), CASES, ids=IDS)
def test_forecast_equals_dense_reference(trajectory, method, given, reference, settings):
    prediction = options(method, given).forecast(dense_window(trajectory))
    found, expected = applied(prediction, trajectory), reference(trajectory, **settings)
    for name in trajectory.names:
        assert_close(found[name], expected[name], 1e-7)


@pytest.mark.parametrize(("method", "given", "reference", "settings"), CASES, ids=IDS)
def test_dense_model_of_the_verb(trajectory, tmp_path, cli, method, given, reference, settings):
    """From checkpoints on disk to a model on disk, in float32."""
    pairs = [x for key, value in given.items() for x in ("--option", f"{key}={value}")]
    result = cli(*forecast_args(trajectory, method, tmp_path / "m", "--dense", *pairs))
    assert result.status == 0, result.err
    found, expected = (
        load_file(tmp_path / "m" / "model.safetensors"),
        reference(trajectory, **settings),
    )
    assert list(found) == sorted(trajectory.names)
    for name, weights in found.items():
        assert weights.dtype == torch.float32
        base = trajectory.weights[0][name].double().numpy()
        rounding = np.finfo(np.float32).eps * np.linalg.norm(base)
        assert_close(weights.double().numpy() - base, expected[name], 5e-5, rounding)


def test_relex_of_full_rank_is_linear_regression_of_every_parameter(trajectory):
    prediction = options("relex", {"rank": len(SEEN)}).forecast(dense_window(trajectory))
    found = applied(prediction, trajectory)
    for name in trajectory.names:
        slope, intercept = np.polyfit(SEEN, trajectory.stacked(name, SEEN), 1)
        assert_close(found[name].ravel(), slope * TARGET + intercept, 1e-8)


def test_relex_depends_on_real_steps_not_on_row_numbers(trajectory):
    """Naming the checkpoints 10, 20, 35, 50 -> 90 by their rows, 1..4 -> 6, is another forecast."""
    window = dense_window(trajectory)
    gram = Gram([1, 2, 3, 4], window.gram.tensors)
    rows = replace(window, steps=gram.steps, target_step=6, gram=gram)
    one = options("relex").forecast(window).blend[UP]
    other = options("relex").forecast(rows).blend[UP]
    assert abs(other[4] / one[50] - 1) > 0.05


def test_pinned_forecast_at_the_last_step_is_the_last_checkpoint(trajectory):
    window = replace(dense_window(trajectory), target_step=THROUGH)
    found = applied(options("relex-pinned").forecast(window), trajectory)
    for name in trajectory.names:
        assert_close(found[name], trajectory.update(THROUGH, name), 1e-12)


def test_saturating_relex_levels_off(trajectory):
    window = dense_window(trajectory)
    far, farther = (
        options("relex", {"fit": "saturating"}).forecast(replace(window, target_step=t)).blend[UP]
        for t in (10**6, 10**7)
    )
    assert far == farther


@pytest.mark.parametrize(
    ("steps", "expected"), [([10, 20, 35, 50], 20), ([10, 20, 35], 20), ([10, 20, 60], 20),
                            ([20, 60], 20), ([10, 40, 60], 40), ([10, 20, 40, 60], 20)]
)  # fmt: skip
def test_weight_extrapolation_starts_at_half_the_window(steps, expected):
    """The saved step nearest half the last; of two equally near ones the earlier."""
    fit = options("weight-extrapolation").forecast(Window(steps, 90, ["w"])).fit
    assert fit["first"] == expected
    assert fit["beta"] == pytest.approx((90 - expected) / (steps[-1] - expected))


@pytest.mark.parametrize("first", [50, 15, 90])
def test_weight_extrapolation_needs_an_observed_earlier_step(trajectory, first):
    with pytest.raises(MethodError, match=r"expected one of \[10, 20, 35\]"):
        options("weight-extrapolation", {"first": first}).forecast(dense_window(trajectory))
