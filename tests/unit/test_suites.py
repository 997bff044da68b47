"""Suites of the study file: decoding, protocols of the papers, what is refused."""

from __future__ import annotations

import re

import pytest
from alpharl.errors import StudyError
from alpharl.evaluation.datasets import DATASETS
from alpharl.evaluation.protocols import PROTOCOLS
from alpharl.evaluation.settings import Suite
from alpharl.study.config import parse_study
from alpharl.study.plan import Plan
from pydantic import ValidationError

TASKS = [{"task": "addition", "split": "test"}]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols_name_tasks_that_ship(name):
    suite = Suite(role="test", protocol=name)
    assert suite.chat_template
    assert {task.task for task in suite.tasks} <= set(DATASETS)


def test_protocols_are_those_of_the_papers():
    """AlphaRL 4.2 and its script; RELEX's eval.py (reference notes of both)."""
    found = {
        name: (s.temperature, s.top_p, s.samples, s.max_new_tokens)
        for name in PROTOCOLS
        for s in [Suite(role="test", protocol=name)]
    }
    assert found == {
        "alpharl-paper": (0.6, 1.0, 32, 30000),
        "alpharl-repo": (0.6, 1.0, 4, 30000),
        "relex-paper": (0.0, 1.0, 1, 4096),
        "relex-paper-sampled": (0.7, 0.8, 8, 4096),
    }
    six = {task.task for task in Suite(role="test", protocol="alpharl-paper").tasks}
    assert six == {"aime24", "aime25", "math500", "minerva", "gpqa_diamond", "gsm8k"}


def test_what_is_given_goes_before_the_protocol():
    suite = Suite.model_validate(
        {"role": "test", "protocol": "alpharl-paper", "samples": 2, "tasks": TASKS}
    )
    assert (suite.samples, suite.temperature) == (2, 0.6)
    assert [task.task for task in suite.tasks] == ["addition"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"protocol": "alpharl"}, "unknown protocol 'alpharl', did you mean 'alpharl-"),
        ({"samples": 4}, "samples 4 with temperature 0, which are all the same"),
        ({"system": "Be brief."}, "'system' goes with 'chat_template: true'"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"stop": [""]}, "stop"),
        ({"max_truncated": 2}, "max_truncated"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        Suite.model_validate({"role": "test", "tasks": TASKS, **given})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": {"suite": "tset"}}, "'tset', expected a test suite: did you mean 'test'?"),
        ({"tokens": {"suite": "validation"}}, "expected a test suite"),
        ({"tokens": {"suite": "test", "ranks": [2]}}, "expected [2] at 1.0 among them"),
        ({"tokens": {"suite": "test"}, "rank": {"at": [5]}}, "found rank.ranks [1, 4] at"),
    ],
)
def test_token_level_analyses_need_their_models(changes, message):
    suites = {role: {"role": role, "tasks": [{"task": "addition", "split": role}]}
              for role in ("validation", "test")}  # fmt: skip
    run = {"base": "b", "checkpoints": "r/step-{step}", "steps": [5, 10]}
    study = {"study": "s", "bases": {"b": {"path": "b"}}, "runs": {"r": run}, "suites": suites}
    plan = Plan(parse_study({**study, "tokens": {"suite": "test"}}))
    assert plan.token_variants("r") == ["step-10", "rank-1@10"]
    with pytest.raises(StudyError, match=re.escape(message)):
        parse_study({**study, **changes})
