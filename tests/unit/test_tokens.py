"""Token-level analyses against reading and continuing written out, on the golden run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from alpharl.cli import main
from alpharl.evaluation.journal import Journal, read_head
from alpharl.problems import PROBLEMS
from transformers import AutoModelForCausalLM, AutoTokenizer

LIMIT, BUDGET = 30, 9


def verb(*args: object) -> None:
    assert main([str(arg) for arg in args]) == 0


@pytest.fixture(scope="module")
def made(golden, tmp_path_factory) -> Path:
    """Scores and token tables of the base, the full run and its rank-1 model."""
    root, run = tmp_path_factory.mktemp("tokens"), golden / "trajectory"
    spec = {"role": "test", "max_new_tokens": BUDGET,
            "tasks": [{"task": "addition", "split": "test", "limit": LIMIT}]}  # fmt: skip
    verb("suite", "--name", "test", "--spec", json.dumps(spec), "--out", root / "suite.json")
    verb("rank", "--base", run / "base", "--checkpoint", run / "step-120", "--out", root / "r1")
    models = {"base": run / "base", "full": run / "step-120", "rank-1": root / "r1"}
    verb("evaluate", "--suite", root / "suite.json", "--base", run / "base", "--out", root / "out",
         *(f"--variant={name}={folder}" for name, folder in models.items()))  # fmt: skip
    writers = [f"--writer={name}={root}/out/{name}.answers.jsonl" for name in models]
    readers = [f"--reader={name}={models[name]}" for name in ("full", "rank-1")]
    verb("tokens", "--suite", root / "suite.json", "--base", run / "base", *writers, *readers,
         "--prefix", 4, 1, "--batch-size", 7, "--out", root / "tables")  # fmt: skip
    return root


@pytest.fixture(scope="module")
def reading(made) -> pd.DataFrame:
    return pd.read_csv(made / "tables" / "reading.csv").set_index(["writer", "reader"])


def test_reading_equals_reading_by_hand(made, golden, reading):
    """One answer at a time, in float64: prompt and answer in, log-probabilities of the answer."""
    run = golden / "trajectory"
    tokenizer = AutoTokenizer.from_pretrained(run / "base")
    base = AutoModelForCausalLM.from_pretrained(run / "base", dtype=torch.float64).eval()
    full = AutoModelForCausalLM.from_pretrained(run / "step-120").eval()
    shares, perplexities, count = [], [], 0
    for question in PROBLEMS["addition"].questions("test")[:LIMIT]:
        prompt = tokenizer(question["prompt"], return_tensors="pt")["input_ids"]
        wrote = full.generate(prompt, max_new_tokens=BUDGET, do_sample=False)
        answer = [t for t in wrote[0, prompt.shape[1] :].tolist() if t != tokenizer.eos_token_id]
        ids = torch.cat([prompt, torch.tensor([answer])], 1)
        with torch.no_grad():
            log_p = base(ids).logits[0, prompt.shape[1] - 1 : -1].log_softmax(-1)
        own = log_p[range(len(answer)), answer]
        shares.append((log_p.argmax(-1) != torch.tensor(answer)).double().mean().item())
        perplexities.append(math.exp(-own.mean().item()))
        count += len(answer)
    row = reading.loc["full", "base"]
    assert (row["n"], row["tokens"]) == (LIMIT, count)
    for name, values in (("nongreedy", shares), ("perplexity", perplexities)):
        series = pd.Series(values)
        assert row[name] == pytest.approx(series.mean(), rel=1e-4)
        assert row[f"{name}_se"] == pytest.approx(series.std() / math.sqrt(LIMIT), rel=1e-4)


def test_a_greedy_writer_reads_its_own_text_as_greedy(reading):
    for name in ("base", "full", "rank-1"):
        assert reading.loc[(name, name), "nongreedy"] == 0
        assert reading.loc[(name, name), "perplexity"] >= 1
    assert reading.loc[("full", "base"), "nongreedy"] > 0.05
    assert reading.loc[("full", "rank-1"), "nongreedy"] < reading.loc[("full", "base"), "nongreedy"]


def test_prefix_test_equals_continuing_by_hand(made, golden):
    run = golden / "trajectory"
    tokenizer = AutoTokenizer.from_pretrained(run / "base")
    base, full = (AutoModelForCausalLM.from_pretrained(run / name).eval()
                  for name in ("base", "step-120"))  # fmt: skip
    table = pd.read_csv(made / "tables" / "prefix.csv").set_index(["writer", "prefix"])
    for prefix in (1, 4):
        correct = []
        for question in PROBLEMS["addition"].questions("test")[:LIMIT]:
            prompt = tokenizer(question["prompt"], return_tensors="pt")["input_ids"]
            begun = full.generate(prompt, max_new_tokens=prefix, do_sample=False)
            whole = base.generate(begun, max_new_tokens=BUDGET - prefix, do_sample=False)
            text = tokenizer.decode(whole[0, prompt.shape[1] :], skip_special_tokens=True)
            answer = text.replace(" ", "").rpartition("=")[2]
            correct.append(answer == question["answer"])
        assert table.loc[("full", prefix), "accuracy"] == pytest.approx(sum(correct) / LIMIT)


def test_the_base_continues_itself(made):
    """The null of the prefix test: the base's own prefix changes nothing."""
    table = pd.read_csv(made / "tables" / "prefix.csv")
    score = json.loads((made / "out" / "base.json").read_text())
    own = table[table["writer"] == "base"]
    assert own["prefix"].tolist() == [1, 4]
    assert (own["accuracy"] == score["accuracy"]).all()
    full = json.loads((made / "out" / "full.json").read_text())["accuracy"]
    assert table.set_index("writer")["own"].loc["full"].tolist() == [full, full]


def test_lacking_answers_are_one_line(made, golden, tmp_path, cli):
    lines = (made / "out" / "full.answers.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "few.jsonl").write_text("".join(lines[:-3]))
    arguments = ["tokens", "--suite", made / "suite.json", "--base", golden / "trajectory/base",
                 "--out", tmp_path / "out"]  # fmt: skip
    result = cli(*arguments, "--writer", f"full={tmp_path}/few.jsonl")
    assert "lacks 3 of the suite's answers; delete the result next to it" in result.error
    result = cli(*arguments, "--writer", f"full={tmp_path}/none.jsonl")
    assert "found no answers; score the variant again" in result.error
    writer = f"full={made}/out/full.answers.jsonl"
    result = cli(*arguments, "--writer", writer, "--prefix", BUDGET)
    assert "found a prefix of 9 tokens, expected fewer" in result.error
    assert not (tmp_path / "out").exists()


def test_answers_whose_tokens_are_not_those_written_are_counted(made, golden, tmp_path, cli):
    """Text alone is kept: '12' may have been written in one token or in two."""
    lines = []
    head = read_head(made / "out" / "full.answers.jsonl")
    Journal(made / "out" / "full.answers.jsonl", head, lambda offset, line: lines.append(line))
    for answer in [line for line in lines if "tokens" in line][:3]:
        answer["tokens"] += 1
    written = Journal(tmp_path / "a.jsonl", head, lambda offset, line: None)
    for line in lines:
        written.append(line)
    written.close()
    arguments = ["tokens", "--suite", made / "suite.json", "--base", golden / "trajectory/base"]
    for file, line in [(made / "out" / "full.answers.jsonl", ""), (tmp_path / "a.jsonl", "3 of ")]:
        result = cli(*arguments, "--writer", f"full={file}", "--out", tmp_path / file.stem)
        assert result.status == 0, result.err
        told = [text for text in result.err.splitlines() if "in other tokens" in text]
        assert [text[: len(line)] for text in told] == ([line] if line else [])
