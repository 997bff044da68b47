"""Suites of the study file: decoding, protocols of the papers, what is refused."""

from __future__ import annotations

import pytest
from alpharl.study.datasets import DATASETS
from alpharl.study.protocols import PROTOCOLS
from alpharl.study.suite import Suite
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
