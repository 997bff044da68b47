"""A real instruct model on GSM8K and SVAMP: both engines, and lm-eval run by hand."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from alpharl.cli import main
from alpharl.evaluation.lm_tasks import OWN_TASKS

LIMIT = int(os.environ.get("ALPHARL_QUESTIONS", "12"))
"""Questions per task; more make a better measurement and a slower test."""
BUDGET = int(os.environ.get("ALPHARL_BUDGET", "96"))
TASKS = {"gsm8k": "gsm8k/test.jsonl", "svamp": "svamp/SVAMP.json"}


def verb(*args: object) -> None:
    assert main([str(arg) for arg in args]) == 0


@pytest.fixture(scope="module")
def suite(shared_data, tmp_path_factory) -> Path:
    """The first questions of both sets in the chat template, greedy."""
    root = tmp_path_factory.mktemp("smollm2")
    tasks = []
    for name, file in TASKS.items():
        verb("fetch", "--task", name, "--data", shared_data / file,
             "--out", root / "data" / f"{name}-test.jsonl")  # fmt: skip
        tasks.append({"task": name, "limit": LIMIT})
    spec = {"role": "test", "tasks": tasks, "chat_template": True, "max_new_tokens": BUDGET}
    verb("suite", "--name", "test", "--spec", json.dumps(spec), "--data", root / "data",
         "--out", root / "suite.json")  # fmt: skip
    return root / "suite.json"


def score(suite: Path, model: Path, *engine: object) -> tuple[dict, dict]:
    """The result, and the answers by task and text of the prompt."""
    out = suite.parent / "-".join(["out", *map(str, engine[1:2])])
    verb("evaluate", "--suite", suite, "--base", model, "--variant", f"base={model}",
         "--allow-truncation", "--out", out, *engine)  # fmt: skip
    lines = (out / "base.answers.jsonl").read_text().splitlines()[2:]
    rows = {(row["task"], row["prompt"]): row["text"] for row in map(json.loads, lines)}
    return json.loads((out / "base.json").read_text()), rows


@pytest.fixture(scope="module")
def hf(suite, smollm2):
    return score(suite, smollm2, "--engine", "hf", "--batch-size", 24)


@pytest.mark.sample
def test_both_engines_agree(suite, smollm2, hf, vllm_environment):
    """Greedy in float32: rounding turns a near tie now and then, and a text goes on otherwise."""
    vllm = score(suite, smollm2, "--engine", "vllm", "--environment", vllm_environment)
    equal = [text == vllm[1][place] for place, text in hf[1].items()]
    assert sum(equal) / len(equal) > 0.8
    for task in TASKS:
        one, other = (found["tasks"][task] for found, _ in (hf, vllm))
        print(f"{task}: hf {one['accuracy']:.3f}, vllm {other['accuracy']:.3f}, n {one['n']}, "
              f"{sum(equal)} of {len(equal)} texts equal")  # fmt: skip
        error = math.hypot(one["stderr"], other["stderr"])
        assert abs(one["accuracy"] - other["accuracy"]) <= 2 * error
        assert one["truncated"] == pytest.approx(other["truncated"], abs=0.1)


@pytest.mark.parametrize("task", ["gsm8k", pytest.param("svamp", marks=pytest.mark.sample)])
def test_lm_eval_by_hand_gives_the_same(task, suite, smollm2, hf, tmp_path):
    """`lm_eval run` on our task file: the same questions right, answer by answer."""
    data = suite.parent / "data" / f"{task}-test.jsonl"
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "by_hand.yaml").write_text(
        f"include: {OWN_TASKS / task / task}.yaml\ntask: by_hand\n"
        f"dataset_kwargs: {{data_files: {{test: {data}}}}}\n"
    )
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args",
               f"pretrained={smollm2},dtype=float32", "--tasks", "by_hand", "--include_path",
               folder, "--limit", LIMIT, "--apply_chat_template", "--gen_kwargs",
               f"max_gen_toks={BUDGET}", "--batch_size", 24, "--device", "cpu",
               "--output_path", tmp_path / "out", "--log_samples"]  # fmt: skip
    done = subprocess.run([str(w) for w in command], capture_output=True, text=True,
                          env=os.environ | {"HF_HUB_OFFLINE": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    (file,) = (tmp_path / "out").rglob("samples_*.jsonl")
    samples = sorted(map(json.loads, file.read_text().splitlines()), key=lambda s: s["doc_id"])
    start = list(TASKS).index(task) * LIMIT
    ours = hf[0]["correct"][start : start + LIMIT]
    theirs = [sample["exact_match"] for sample in samples]
    differ = sum(one != other for one, other in zip(ours, theirs, strict=True))
    texts = [sample["resps"][0][0] for sample in samples]
    kept = {text for (name, _), text in hf[1].items() if name == task}
    equal = sum(text in kept for text in texts)
    print(f"{task}: {differ} of {LIMIT} grades differ, {equal} of {LIMIT} texts equal")
    assert differ <= max(1, LIMIT // 25), "batches differ, so rounding does"
    assert equal >= 0.8 * LIMIT
