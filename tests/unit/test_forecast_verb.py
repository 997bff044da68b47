"""What `alpharl forecast` and `alpharl methods` print, write and refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest
from alpharl.forecasting.registry import METHODS
from tests.unit.forecasts import (
    ADAPTERS,
    BOTH,
    SEEN,
    SUITELESS,
    TARGET,
    UP,
    WEIGHTS,
    forecast_args,
    options,
)


@pytest.mark.parametrize("method", SUITELESS)
def test_a_forecast_prints_at_most_fifteen_lines(trajectory, tmp_path, cli, method):
    shown = cli(*forecast_args(trajectory, method, tmp_path / "v")).out
    assert 3 <= len(shown.splitlines()) <= 15
    assert "verdict:" in shown


@pytest.mark.parametrize("method", SUITELESS)
def test_verb_prints_and_writes_what_it_fitted(trajectory, tmp_path, cli, method):
    out = tmp_path / "v"
    shown = json.loads(cli(*forecast_args(trajectory, method, out), "--json").out)
    assert shown["method"] == method
    assert shown["window_steps"] == SEEN
    assert shown["target_step"] == TARGET
    assert shown["options"] == options(method).model_dump(mode="json")
    meta = json.loads((out / "variant.json").read_text())
    assert shown["fit"] == meta["fit"]
    adapter = (out / "adapter" / "adapter_config.json").is_file()
    assert adapter == (method in (*ADAPTERS, *BOTH))
    assert (out / "blend.json").is_file() == (method in WEIGHTS and method not in ADAPTERS)
    if method in ("alpharl-paper", "alpharl-repo"):
        assert shown["fit"]["accuracy"] == [trajectory.accuracy[step] for step in SEEN]
        assert set(shown["fit"]["r2"]) == set(trajectory.matrices())
        assert all(0 <= r2 <= 1 for r2 in shown["fit"]["r2"].values())
    if method == "relex":
        u, s, _ = np.linalg.svd(trajectory.stacked(UP, SEEN), full_matrices=False)
        fit = shown["fit"]["tensors"][UP]
        assert fit["share"] == pytest.approx([s[0] ** 2 / np.sum(s**2)])
        coefficient = u[:, 0] * s[0] * np.sign(u[-1, 0])
        line = np.polynomial.Polynomial.fit(SEEN, coefficient, 1)
        assert fit["coefficient"] == pytest.approx([line(TARGET)])
    if method == "weight-extrapolation":
        assert shown["fit"] == {"first": 20, "last": 50, "beta": pytest.approx(7 / 3)}


def test_target_as_a_multiple_of_the_window_s_last_step(trajectory, tmp_path, cli):
    arguments = forecast_args(trajectory, "momentum", tmp_path / "v")
    at = arguments.index("--target-step")
    arguments[at : at + 2] = ["--target-multiple", 1.81]
    assert (
        json.loads(cli(*arguments, "--json").out)["target_step"] == 90
    )  # 1.81 x 50 = 90.5, to even
    with pytest.raises(SystemExit):
        cli(*arguments, "--target-step", TARGET)
    arguments[at + 1] = 0.9
    with pytest.raises(SystemExit):
        cli(*arguments)


@pytest.mark.parametrize(
    ("method", "pair", "message"),
    [
        ("relx", None, "unknown method 'relx', did you mean 'relex'?"),
        ("alpharl", None, "did you mean 'alpharl-"),
        ("zzz", None, "expected one of: last, expo,"),
        ("relex", "rnk=2", "unknown key 'rnk', did you mean 'rank'?"),
        ("expo", "aplha=1", "unknown key 'aplha', did you mean 'alpha'?"),
        ("last", "gamma=1", "unknown key 'gamma', expected one of: method"),
        ("first-update", "gamma=0", "gamma: Input should be greater than 0 (found 0)"),
        ("recent", "share=1.5", "share: Input should be less than or equal to 1 (found 1.5)"),
        ("relex", "rank=0", "rank: Input should be greater than 0 (found 0)"),
        ("relex", "rank=two", "rank: Input should be a valid integer"),
        ("relex", "rank", "option 'rank': found no '=', expected KEY=VALUE"),
        ("relex", "rank=[", "option 'rank=[': found '[', expected a value as a study file has it"),
        ("relex", "fit=cubic", "fit: Input should be 'linear', 'quadratic' or 'saturating'"),
        ("alpharl-repo", "target_accuracy=-1", "target_accuracy: Input should be greater than 0"),
        ("weight-extrapolation", "first=15", "first: found step 15, expected one of [10, 20, 35]"),
    ],
)
def test_bad_options_are_one_line(trajectory, tmp_path, cli, method, pair, message):
    more = [] if pair is None else ["--option", pair]
    result = cli(*forecast_args(trajectory, method, tmp_path / "v", *more))
    assert message in result.error
    assert result.error.startswith("alpharl forecast: error: ")
    assert not (tmp_path / "v").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--through": 10}, "holds 1 checkpoints"),
        ({"--through": 5}, "holds 0 checkpoints"),
        ({"--checkpoints": "nowhere/step-{step}"}, "no folder matches"),
        ({"--base": "nowhere"}, "no such checkpoint folder"),
        ({"--scores": "nowhere.csv"}, "expected a CSV with columns step,accuracy"),
        ({"--scores": "two,columns\n1,2\n"}, "expected a CSV with columns step,accuracy"),
        ({"--scores": "step,accuracy\n10,\n"}, "expected a CSV with columns step,accuracy"),
        ({"--scores": "step,accuracy\n10\n"}, "expected a CSV with columns step,accuracy"),
        ({"--scores": "step,accuracy\n10,0.5\n"}, "no validation accuracy for steps [20, 35, 50]"),
        ({"--scores": None}, "no validation accuracy for steps [10, 20, 35, 50]"),
        (
            {"--steps": [10, 20, 30], "--scores": "step,accuracy\n10,0.1\n20,0.2\n30,0.3\n"},
            "no such checkpoint folder",
        ),
    ],
)
def test_bad_input_is_one_line(trajectory, tmp_path, cli, change, message):
    arguments = forecast_args(trajectory, "alpharl-paper", tmp_path / "v")
    for key, value in change.items():
        if isinstance(value, str) and "\n" in value:
            (tmp_path / "S.csv").write_text(value)
            value = tmp_path / "S.csv"
        if key == "--steps":
            arguments += [key, *value]
        elif value is None:
            at = arguments.index(key)
            del arguments[at : at + 2]
        else:
            arguments[arguments.index(key) + 1] = value
    result = cli(*arguments)
    assert message in result.error
    assert not (tmp_path / "v").exists()


@pytest.mark.parametrize(
    ("stored", "message"),
    [("short", "20"), ("missing", "no such file; make it first")],
)
def test_gram_that_lacks_a_step_of_the_window_is_one_line(
    trajectory, tmp_path, cli, stored, message
):
    gram = tmp_path / "G.safetensors"
    if stored == "short":
        cli("gram", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
            "--steps", 10, 35, 50, "--out", gram)  # fmt: skip
    result = cli(*forecast_args(trajectory, "relex", tmp_path / "v", "--gram", gram))
    assert message in result.error


def test_nan_in_a_checkpoint_is_named(make_trajectory, tmp_path, cli, write_model):
    run = make_trajectory()
    weights = {name: t.clone() for name, t in run.weights[35].items()}
    weights[UP][0, 0] = float("nan")
    write_model(run.folders[35], weights)
    for method in ("relex", "alpharl-paper"):
        error = cli(*forecast_args(run, method, tmp_path / "v")).error
        assert f"{run.folders[35]}: {UP} holds 1 values that are not finite" in error
    assert not (tmp_path / "v").exists()


def test_methods_verb_lists_every_method_with_source_and_options(cli):
    shown = cli("methods").out
    for name, method in METHODS.items():
        block = shown[shown.index(f"{name}\n") :]
        assert method.source in block
        assert method.cost in block
    assert "target_accuracy" in shown
