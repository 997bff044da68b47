"""The `api` engine without a server; with a real one in tests/engines."""

from __future__ import annotations

import json
import re
import socket

import pytest
from alpharl.errors import StudyError
from alpharl.study.config import parse_study


def test_no_server_is_one_line(golden, tmp_path, cli):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    spec = {"role": "test", "tasks": [{"task": "addition", "split": "test", "limit": 2}],
            "max_new_tokens": 9}  # fmt: skip
    suite = tmp_path / "suite.json"
    assert cli("suite", "--name", "t", "--spec", json.dumps(spec), "--out", suite).status == 0
    base = golden / "trajectory" / "base"
    result = cli("evaluate", "--suite", suite, "--base", base, "--variant", f"b={base}",
                 "--engine", "api", "--url", url, "--out", tmp_path / "out")  # fmt: skip
    assert result.error.endswith(f"{url}: found no server that answers; start it, or correct 'url'")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ({"engine": "api"}, "engine 'api' lacks 'url'"),
        ({"engine": "vllm"}, "engine 'vllm' lacks 'environment'"),
        (
            {"engine": "sglang"},
            "evaluation: unknown engine 'sglang', expected one of: hf, vllm, api",
        ),
        ({"engine": "vlm"}, "unknown engine 'vlm', did you mean 'vllm'?"),
        (
            {"engine": "vllm", "enviroment": "e"},
            "unknown key 'enviroment', did you mean 'environment'",
        ),
        (
            {"environment": "e"},
            "found 'environment' with engine 'hf', expected it with engine 'vllm'",
        ),
        (
            {"engine": "api", "url": "http://h/v1", "vllm": {}},
            "found 'vllm' with engine 'api', expected it",
        ),
        (
            {"engine": "api", "url": "http://h/v1", "batch_size": 0},
            "study: evaluation.batch_size: Input should",
        ),
        (None, "evaluation: found None, expected keys, such as {engine: hf}"),
        ({"engine": "vllm", "environment": "e"}, "engine 'vllm' cannot; take engine 'hf'"),
    ],
)
def test_an_engine_that_cannot_do_its_work_is_refused(evaluation, message):
    task = {"task": "addition"}
    suites = {role: {"role": role, "tasks": [task | {"split": role}]}
              for role in ("validation", "test")}  # fmt: skip
    run = {"base": "b", "checkpoints": "r/step-{step}", "steps": [1, 2, 3]}
    study = {"study": "s", "bases": {"b": {"path": "b"}}, "runs": {"r": run}, "suites": suites}
    study["forecast"] = {"methods": {"logits-extrapolation": {}}, "windows": [2]}
    with pytest.raises(StudyError, match=re.escape(message)):
        parse_study({**study, "evaluation": evaluation})
