"""`auto` does what the verdict says; `alpharl trust` says it, and every forecast beside its own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from alpharl.errors import MethodError
from alpharl.forecasting.registry import METHODS
from alpharl.forecasting.trust import assess
from tests.unit.forecasts import TARGET, THROUGH, forecast_args
from tests.unit.paths import line, nearness, rising, saturating, window_of

AUTO = METHODS["auto"]


def never(prediction) -> np.ndarray:
    raise AssertionError("a trial model was scored")


# --- the method ---


@pytest.mark.parametrize("where", [80, 120, 160])
def test_auto_is_the_model_of_the_verdict(where):
    window = window_of(line, validate=nearness(line, where))
    verdict, found = assess(window), AUTO().forecast(window)
    assert verdict.supported == (where > 80)
    assert found.blend == verdict.prediction.blend
    assert found.fit == {"verdict": verdict.as_json()}


@pytest.mark.parametrize(
    "window",
    [
        window_of(saturating, accuracy=rising()),
        window_of(line),
        window_of(line, [10, 20], accuracy=rising([10, 20])),
    ],
    ids=["saturated", "no accuracy", "short"],
)
def test_what_is_not_supported_stays_exactly_the_last_checkpoint(window):
    found = AUTO(trials=False).forecast(window)
    assert found.blend == METHODS["last"]().forecast(window).blend
    assert not found.fit["verdict"]["supported"]
    json.dumps(found.fit, allow_nan=False)


def test_trials_without_a_suite_are_refused():
    with pytest.raises(MethodError, match="found no validation suite"):
        AUTO().forecast(window_of(line, accuracy=rising()))


def test_without_trials_no_model_is_scored():
    window = window_of(line, accuracy=rising(), validate=never)
    found = AUTO(trials=False).forecast(window)
    assert found.blend == assess(replace(window, validate=None)).prediction.blend
    assert found.fit["verdict"]["supported"]


def test_what_auto_reads_follows_from_its_trials():
    assert AUTO().reads == {"gram", "scores", "suite"}
    assert AUTO(trials=False).reads == {"gram", "scores"}


# --- the verbs ---


def trust_args(run, *more: object) -> list[object]:
    """Arguments of `alpharl trust`."""
    return ["trust", "--base", run.base, "--checkpoints", run.pattern, "--through", THROUGH,
            "--target-step", TARGET, *more]  # fmt: skip


def test_trust_prints_and_writes_the_verdict(trajectory, tmp_path, cli):
    out = tmp_path / "T.json"
    result = cli(*trust_args(trajectory, "--scores", trajectory.scores, "--out", out))
    assert result.status == 0
    written = json.loads(out.read_text())
    assert (written["window_steps"], written["target_step"]) == ([10, 20, 35, 50], TARGET)
    signs = "-+"
    lines = [f"{signs[e['speaks_for']]} {e['text']}" for e in written["evidence"]]
    assert result.out.splitlines()[1:] == lines
    assert result.out.startswith("supported, by" if written["supported"] else "not supported")


def test_trust_without_scores_writes_null_for_what_is_not_known(trajectory, tmp_path, cli):
    out = tmp_path / "T.json"
    result = cli(*trust_args(trajectory, "--out", out))
    assert result.out.startswith("not supported, keep the last checkpoint\n")
    assert json.loads(out.read_text())["evidence"][-1]["value"] is None


def test_trust_reads_nothing_later_than_the_window(make_trajectory, tmp_path, cli):
    run = make_trajectory()
    more = ["--scores", run.scores]
    first = cli(*trust_args(run, *more)).out
    lines = [f"{s},{a if s <= THROUGH else 0.01}" for s, a in run.accuracy.items()]
    run.scores.write_text("\n".join(["step,accuracy", *lines]) + "\n")
    for step in (60, 90):
        shutil.copy(run.folders[10] / "model.safetensors", run.folders[step])
    assert cli(*trust_args(run, *more)).out == first
    assert "validation accuracy gained" in first, "the accuracies of the window do matter"


def test_a_forecast_is_followed_by_the_verdict(trajectory, tmp_path, cli):
    """In text and in JSON, the same that `alpharl trust` says."""
    arguments = trust_args(trajectory, "--scores", trajectory.scores)
    verdict = cli(*arguments).out.splitlines()
    given = forecast_args(trajectory, "relex", tmp_path / "v")
    shown = cli(*given).out.splitlines()
    at = shown.index(f"verdict: {verdict[0]}")
    assert [text.strip() for text in shown[at + 1 :]] == verdict[1:]
    assert len(shown) <= 15
    as_json = json.loads(cli(*arguments, "--json").out)
    assert json.loads(cli(*given, "--json").out)["verdict"] == as_json


def test_a_forecast_without_a_step_has_no_verdict(trajectory, tmp_path, cli):
    """Scores that fall reach no accuracy; `last` is a forecast all the same."""
    scores = tmp_path / "S.csv"
    scores.write_text("step,accuracy\n10,0.6\n20,0.5\n35,0.45\n50,0.4\n")
    given = forecast_args(trajectory, "last", tmp_path / "v")
    given[given.index("--scores") + 1] = scores
    at = given.index("--target-step")
    given[at : at + 2] = ["--target-accuracy", 0.9]
    result = cli(*given)
    assert result.status == 0
    assert "verdict: none: found accuracies [0.6, " in result.out.splitlines()[-1]
    given = trust_args(trajectory, "--scores", scores)
    at = given.index("--target-step")
    given[at : at + 2] = ["--target-accuracy", 0.9]
    assert "found accuracies [0.6, " in cli(*given).error


def test_auto_of_the_verb_refuses_trials_without_a_suite(trajectory, tmp_path, cli):
    given = forecast_args(trajectory, "auto", tmp_path / "v", "--option", "trials=true")
    assert "give one (--suite, or trials= in Python)" in cli(*given).error
    assert not (tmp_path / "v").exists()
