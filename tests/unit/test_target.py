"""An accuracy as the target: the line by hand, what each kind of method makes of it, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from alpharl.errors import MethodError, UndefinedForecast
from alpharl.forecasting.contract import Window
from alpharl.forecasting.registry import METHODS
from alpharl.forecasting.target import step_reaching

SEEN, THROUGH = [10, 20, 35, 50], 50


# --- the line ---


@pytest.mark.parametrize(
    ("steps", "accuracies", "target", "expected"),
    [
        # accuracy = 0.2 + step / 100: 0.9 at step 70 exactly, 0.901 a little later
        ([10, 20, 40], [0.3, 0.4, 0.6], 0.9, 70),
        ([10, 20, 40], [0.3, 0.4, 0.6], 0.901, 71),
        # means 20 and 0.4; slope (-10 * -0.1 + 10 * 0.1) / 200 = 0.01; 20 + 0.3 / 0.01 = 50
        ([10, 20, 30], [0.3, 0.4, 0.5], 0.7, 50),
        # slope (-10 * -0.1 + 10 * 0.2) / 200 = 0.015, mean 1.3 / 3: 20 + 0.3667 / 0.015 = 44.4
        ([10, 20, 30], [0.3, 0.4, 0.6], 0.8, 45),
        # above the last accuracy by a hair: the next step at the earliest
        ([10, 20], [0.5, 0.6], 0.6 + 1e-12, 21),
    ],
)
def test_step_of_an_accuracy_by_hand(steps, accuracies, target, expected):
    assert step_reaching(target, steps, np.array(accuracies)) == expected


def test_step_of_an_accuracy_is_where_a_fitted_polynomial_crosses():
    rng = np.random.default_rng(0)
    for _ in range(20):
        steps = np.sort(rng.choice(np.arange(1, 200), 6, replace=False))
        y = 0.3 + 0.001 * steps + rng.normal(0, 0.005, 6)
        slope, intercept = np.polyfit(steps, y, 1)
        assert step_reaching(0.9, steps.tolist(), y) == np.ceil((0.9 - intercept) / slope)


@pytest.mark.parametrize(
    ("accuracies", "message"),
    [
        ([0.5, 0.5, 0.5], "to rise towards 0.8"),
        ([0.1, 0.1, 0.1], "to rise towards 0.8"),  # their mean is not exactly 0.1
        ([0.6, 0.5, 0.4], "to rise towards 0.8"),
        ([0.4, 0.6, 0.8], "found accuracy 0.8000 at step 30"),
        ([0.2, 0.3, 0.9], r"found accuracy 0.9000 at step 30 \(0.8167 on the line\)"),
        ([0.7, 0.9, 0.79], r"found accuracy 0.7900 at step 30 \(0.8417 on the line\)"),
    ],
)
def test_no_step_reaches_the_accuracy(accuracies, message):
    with pytest.raises(UndefinedForecast, match=message) as error:
        step_reaching(0.8, [10, 20, 30], np.array(accuracies))
    assert "\n" not in str(error.value)


def test_the_base_is_left_out():
    """Its accuracy would bend the line: 0.2 + step / 100 without it."""
    window = Window([10, 20, 40], None, [], accuracy={0: 0.9, 10: 0.3, 20: 0.4, 40: 0.6},
                    target_accuracy=0.8)  # fmt: skip
    assert window.need_target_step() == 60


def test_a_target_is_needed():
    with pytest.raises(MethodError, match="found no target"):
        Window([10, 20], None, []).need_target_step()


# --- what the verb makes of it ---


def arguments(run, method: str, out: Path, *target: object) -> list[object]:
    return ["forecast", "--base", run.base, "--checkpoints", run.pattern, "--through", THROUGH,
            "--method", method, "--scores", run.scores, "--out", out, *target]  # fmt: skip


def line_step(run, target: float) -> int:
    """Where the line through the run's accuracies in the window crosses, by NumPy."""
    slope, intercept = np.polyfit(SEEN, [run.accuracy[step] for step in SEEN], 1)
    return int(np.ceil((target - intercept) / slope))


@pytest.mark.parametrize("method", ["momentum", "relex", "alpharl-step"])
def test_methods_with_steps_forecast_the_step_on_the_line(trajectory, tmp_path, cli, method):
    target = 0.95
    step = line_step(trajectory, target)
    assert step > THROUGH
    shown = json.loads(
        cli(
            *arguments(trajectory, method, tmp_path / "a", "--target-accuracy", target), "--json"
        ).out
    )
    other = json.loads(
        cli(*arguments(trajectory, method, tmp_path / "b", "--target-step", step), "--json").out
    )
    assert (shown["target_step"], shown["target_accuracy"]) == (step, target)
    assert (other["target_step"], other["target_accuracy"]) == (step, None)
    assert shown["fit"] == other["fit"]


@pytest.mark.parametrize("method", ["alpharl-paper", "alpharl-repo"])
def test_methods_with_accuracy_take_it_for_their_own(trajectory, tmp_path, cli, method):
    given = ["--target-accuracy", 0.95, "--option", "target_accuracy=0.7"]
    shown = json.loads(cli(*arguments(trajectory, method, tmp_path / "a", *given), "--json").out)
    own = ["--target-step", 90, "--option", "target_accuracy=0.95"]
    other = json.loads(cli(*arguments(trajectory, method, tmp_path / "b", *own), "--json").out)
    assert shown["fit"] == other["fit"]
    assert shown["fit"]["target_accuracy"] == 0.95
    assert shown["norm_ratio"] == other["norm_ratio"]


WITH_STEPS = ["momentum", "first-update", "weight-extrapolation", "raw-linear", "relex",
              "relex-pinned", "recent", "alpharl-step"]  # fmt: skip


@pytest.mark.parametrize("method", [*WITH_STEPS, "last", "expo", "alpharl-paper", "alpharl-repo"])
def test_only_what_asks_for_a_step_is_undefined_without_one(trajectory, tmp_path, cli, method):
    """Scores that fall: no step, but `last` stays the last, and AlphaRL's line is its own."""
    scores = tmp_path / "S.csv"
    scores.write_text("step,accuracy\n10,0.6\n20,0.5\n35,0.45\n50,0.4\n")
    command = arguments(trajectory, method, tmp_path / "v", "--target-accuracy", 0.9)
    command[command.index("--scores") + 1] = scores
    assert cli(*command, "--record-undefined").status == 0
    meta = json.loads((tmp_path / "v" / "variant.json").read_text())
    assert meta["target_step"] is None
    if method in WITH_STEPS:
        assert meta["undefined"].startswith(f"{method}: found accuracies [0.6, ")
    else:
        assert meta["undefined"] is None


def test_an_accuracy_without_scores_is_one_line(trajectory, tmp_path, cli):
    command = arguments(trajectory, "last", tmp_path / "v", "--target-accuracy", 0.9)
    at = command.index("--scores")
    del command[at : at + 2]
    assert "found no validation accuracy for steps [10, 20, 35, 50]" in cli(*command).error
    assert not (tmp_path / "v").exists()


@pytest.mark.parametrize("value", [0, 1.2, "high"])
def test_an_accuracy_lies_between_0_and_1(trajectory, tmp_path, cli, capsys, value):
    with pytest.raises(SystemExit):
        cli(*arguments(trajectory, "last", tmp_path / "v", "--target-accuracy", value))
    assert f"found '{value}', expected a number above 0 and at most 1" in capsys.readouterr().err


def test_no_trained_weights_stand_for_an_accuracy(trajectory, tmp_path, cli):
    cli(*arguments(trajectory, "last", tmp_path / "v", "--target-accuracy", 0.95))
    gram = tmp_path / "G.safetensors"
    cli("gram", "--base", trajectory.base, "--checkpoints", trajectory.pattern, "--out", gram)
    error = cli("truth", "--variant", tmp_path / "v", "--target", trajectory.folders[90],
                "--step", 90, "--gram", gram, "--out", tmp_path / "t.parquet").error  # fmt: skip
    assert "forecasts accuracy 0.95, expected a forecast of a step" in error


def test_a_method_reads_no_later_accuracy(trajectory):
    """A target accuracy does not let a fit see past its window."""
    seen = {step: trajectory.accuracy[step] for step in SEEN}
    window = Window(SEEN, None, ["w"], accuracy=seen, target_accuracy=0.95)
    later = replace(window, accuracy=seen | {90: float("nan")})
    options = METHODS["momentum"]()
    assert options.forecast(window).blend == options.forecast(later).blend
