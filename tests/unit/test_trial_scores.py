"""Trial models scored by a real engine: what `evaluate` gives them, and nothing asked twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from alpharl import Trajectory
from alpharl.errors import EvaluationError
from alpharl.evaluation.engines.hf import Hf, HfEngine
from alpharl.evaluation.suites import read_suite
from alpharl.evaluation.trials import Trials
from alpharl.forecasting.registry import METHODS
from alpharl.progress import Progress
from tests.unit.suites import make_suite

QUESTIONS = 20


class Said(list, Progress):
    """Keeps the lines."""

    def line(self, text: str) -> None:
        self.append(text)


@pytest.fixture
def suite(tmp_path) -> Path:
    tasks = [{"task": "addition", "split": "validation", "limit": QUESTIONS}]
    return make_suite(tmp_path / "validation", "validation", tasks, max_new_tokens=9)


@pytest.fixture
def trials(golden, suite) -> dict:
    """Arguments of `Trials` for the golden run."""
    run = golden / "trajectory"
    return {"suite": suite, "base": run / "base", "checkpoints": f"{run}/step-{{step}}",
            "engine": Hf(batch_size=QUESTIONS)}  # fmt: skip


def test_a_search_is_the_one_of_the_verb(golden, suite, trials, tmp_path, cli):
    run, said = golden / "trajectory", Said()
    window = (run / "base", f"{run}/step-{{step}}")
    with Trials(**trials, progress=said) as scorer:
        here = Trajectory.open(*window, trials=scorer, progress=False)
        model = here.forecast("effopd", 72, 36, trials=2)
        model.save(tmp_path / "library")
    assert len(said) == len(model.fit["validation"]) >= 2
    assert said[0] == f"trial model: validation accuracy {model.fit['validation'][0]:.3f}"
    cli("forecast", "--base", window[0], "--checkpoints", window[1], "--through", 36,
        "--target-step", 72, "--method", "effopd", "--option", "trials=2", "--suite", suite,
        "--batch-size", QUESTIONS, "--out", tmp_path / "verb")  # fmt: skip
    for name in ("variant.json", "blend.json"):
        assert (tmp_path / "library" / name).read_bytes() == (tmp_path / "verb" / name).read_bytes()


def test_outcomes_are_those_of_evaluate(golden, suite, trials, tmp_path, cli):
    """Also of two models' logits, which have no weights."""
    run = Trajectory.open(trials["base"], trials["checkpoints"], progress=False)
    variants = []
    with Trials(**trials | {"suite": read_suite(suite)}) as scorer:
        outcomes = {}
        for method in ("momentum", "logits-extrapolation"):
            window = run.window(through=36, target_step=72)
            outcomes[method] = scorer(METHODS[method]().forecast(window))
            run.forecast(method, 72, 36).save(tmp_path / method)
            variants += ["--variant", f"{method}={tmp_path / method}"]
    cli("evaluate", "--suite", suite, "--base", trials["base"], "--batch-size", QUESTIONS,
        *variants, "--out", tmp_path / "out")  # fmt: skip
    for method, found in outcomes.items():
        result = json.loads((tmp_path / "out" / f"{method}.json").read_text())
        np.testing.assert_array_equal(found, result["correct"])


def test_kept_answers_are_not_asked_for_again(trials, tmp_path, monkeypatch):
    answers = tmp_path / "answers"
    run = Trajectory.open(trials["base"], trials["checkpoints"], progress=False)
    prediction = run.verdict(72, 36).prediction
    with Trials(**trials, answers=answers) as scorer:
        first = scorer(prediction)
    assert len(list(answers.iterdir())) == 1

    def model(self, source):
        raise AssertionError("asked again")

    monkeypatch.setattr(HfEngine, "model", model)
    with Trials(**trials, answers=str(answers)) as scorer:
        np.testing.assert_array_equal(scorer(prediction), first)


def test_only_a_validation_suite_is_scored(trials, tmp_path):
    tasks = [{"task": "addition", "split": "test", "limit": 2}]
    test = make_suite(tmp_path / "test", "test", tasks)
    with pytest.raises(EvaluationError, match="found a test suite, expected a validation suite"):
        Trials(**trials | {"suite": test})
    with pytest.raises(EvaluationError, match=r"^test: found a test suite"):
        Trials(**trials | {"suite": read_suite(test)})
    with pytest.raises(EvaluationError, match=r"nowhere\.json: no such suite"):
        Trials(**trials | {"suite": "nowhere.json"})
