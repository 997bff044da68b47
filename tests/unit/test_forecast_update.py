"""The predicted update: its norm, its amplitude, tensors that stay, and where there is none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from alpharl.errors import UndefinedForecast
from alpharl.forecasting.contract import norm_ratio
from safetensors.torch import load_file
from tests.unit.forecasts import (
    ADAPTERS,
    BOTH,
    NORM,
    SEEN,
    SUITELESS,
    THROUGH,
    UP,
    WEIGHTS,
    applied,
    assert_close,
    dense_window,
    forecast_args,
    options,
)


@pytest.mark.parametrize("method", WEIGHTS)
def test_norm_ratio_against_dense(trajectory, method):
    window = dense_window(trajectory)
    prediction = options(method).forecast(window)
    found = norm_ratio(window, prediction)
    update = applied(prediction, trajectory)
    if method in BOTH:
        assert found is None, "a blend and an adapter on one tensor: the stores do not tell"
        return
    names = trajectory.matrices() if method in ADAPTERS else trajectory.names
    predicted = sum(np.sum(update[name] ** 2) for name in names)
    observed = sum(np.sum(trajectory.update(THROUGH, name) ** 2) for name in names)
    assert found == pytest.approx(np.sqrt(predicted / observed), rel=1e-6)


def test_norm_ratio_is_none_without_a_gram(trajectory):
    window = replace(dense_window(trajectory), gram=None)
    assert norm_ratio(window, options("expo").forecast(window)) is None


@pytest.mark.parametrize("method", [m for m in WEIGHTS if m in SUITELESS])
def test_frozen_tensors_stay_at_base(make_trajectory, tmp_path, cli, method):
    run = make_trajectory(frozen=(UP, NORM))
    assert cli(*forecast_args(run, method, tmp_path / "m", "--dense")).status == 0
    found = load_file(tmp_path / "m" / "model.safetensors")
    for name in (UP, NORM):
        assert torch.equal(found[name], run.weights[0][name])
    other = UP.replace("up", "gate")
    assert not torch.equal(found[other], run.weights[0][other])


def test_run_that_does_not_move_is_forecast_to_stay(make_trajectory, tmp_path, cli):
    run = make_trajectory()
    for folder in run.folders.values():
        shutil.copy(run.base / "model.safetensors", folder / "model.safetensors")
    for method in (m for m in WEIGHTS if m in SUITELESS):
        result = cli(*forecast_args(run, method, tmp_path / method, "--dense"))
        assert result.status == 0, f"{method}: {result.err}"
        found = load_file(tmp_path / method / "model.safetensors")
        assert all(torch.equal(w, run.weights[0][name]) for name, w in found.items())


@pytest.mark.parametrize("method", ["alpharl-paper", "alpharl-repo"])
@pytest.mark.parametrize("value", [0.5, 0.6925, 0.7])
def test_constant_accuracy_is_undefined(trajectory, method, value):
    for steps in (SEEN[:2], SEEN[:3], SEEN):
        window = dense_window(trajectory, steps)
        window = replace(window, accuracy=dict.fromkeys(steps, value))
        with pytest.raises(UndefinedForecast, match="do not vary"):
            options(method).forecast(window)


def test_undefined_forecast_fails_or_is_recorded(trajectory, tmp_path, cli):
    flat = tmp_path / "S.csv"
    flat.write_text("step,accuracy\n" + "".join(f"{step},0.5\n" for step in (0, *SEEN)))
    arguments = forecast_args(trajectory, "alpharl-paper", tmp_path / "v")
    arguments[arguments.index("--scores") + 1] = flat
    assert "do not vary" in cli(*arguments).error
    assert not (tmp_path / "v").exists()
    assert cli(*arguments, "--record-undefined").status == 0
    meta = json.loads((tmp_path / "v" / "variant.json").read_text())
    assert meta["undefined"].startswith("alpharl-paper: PLS over 4 checkpoints")
    assert meta["norm_ratio"] is None
    assert [p.name for p in (tmp_path / "v").iterdir()] == ["variant.json"]


@pytest.mark.parametrize("method", ["expo", "alpharl-paper", "alpharl-repo"])
def test_amplitude_multiplies_the_whole_update(trajectory, tmp_path, cli, method):
    """A blend, an adapter, and both."""
    arguments = forecast_args(trajectory, method, tmp_path / "v", "--amplitude", 0.4)
    plain = options(method).forecast(dense_window(trajectory))
    update = applied(plain, trajectory)
    for name, found in applied(plain.scaled(0.4), trajectory).items():
        assert_close(found, 0.4 * update[name], 1e-12)
    assert cli(*arguments).status == 0
    meta = json.loads((tmp_path / "v" / "variant.json").read_text())
    whole = norm_ratio(dense_window(trajectory), plain)
    assert meta["amplitude"] == 0.4
    if method == "alpharl-paper":
        assert meta["norm_ratio"] == pytest.approx(0.4 * whole, rel=1e-5)
    cli(*forecast_args(trajectory, method, tmp_path / "m", "--amplitude", 0.4, "--dense"))
    for name, weights in load_file(tmp_path / "m" / "model.safetensors").items():
        base = trajectory.weights[0][name].double().numpy()
        rounding = np.finfo(np.float32).eps * np.linalg.norm(base)
        assert_close(weights.double().numpy() - base, 0.4 * update[name], 5e-5, rounding)


@pytest.mark.parametrize("value", [0, -1, "inf", "much"])
def test_amplitude_is_a_positive_number(trajectory, tmp_path, cli, capsys, value):
    with pytest.raises(SystemExit):
        cli(*forecast_args(trajectory, "last", tmp_path / "v", f"--amplitude={value}"))
    assert f"found '{value}', expected a number above 0" in capsys.readouterr().err
