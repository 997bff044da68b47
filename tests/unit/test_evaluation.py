"""Suites, statistics, and scores of adapters, blends and models by the `hf` engine."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from alpharl.checkpoints.manifest import KnownDigests
from alpharl.errors import EvaluationError
from alpharl.evaluation import runner
from alpharl.evaluation.runner import Scorer, score_variants
from alpharl.evaluation.statistics import accuracy
from alpharl.evaluation.suites import read_suite, require_disjoint, write_suite
from alpharl.problems import PROBLEMS
from alpharl.spectra.lowrank import LowRank
from alpharl.study.suite import Evaluation, Suite
from alpharl.variants.store import write_variant
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

UP = "model.layers.0.mlp.up_proj.weight"


# --- statistics ---


@given(right=st.integers(0, 400), wrong=st.integers(0, 400))
def test_accuracy_of_right_and_wrong_answers(right, wrong):
    n = right + wrong
    if n == 0:
        return
    mean, error = accuracy([1.0] * right + [0.0] * wrong)
    assert mean == right / n
    if right and wrong:
        assert error == pytest.approx(math.sqrt(mean * (1 - mean) / (n - 1)))
    else:
        p = (right + 1) / (n + 2)
        assert error == pytest.approx(math.sqrt(p * (1 - p) / (n + 2)))
    assert error > 0, "no number of questions makes sure"


@pytest.mark.parametrize(
    ("correct", "mean", "error"),
    [
        ([1, 1, 0, 0], 0.5, math.sqrt(1 / 3 / 4)),
        ([1, 0, 0, 0], 0.25, math.sqrt((9 / 16 + 3 / 16) / 3 / 4)),
        ([0] * 98, 0.0, math.sqrt(0.01 * 0.99 / 100)),
        ([1] * 98, 1.0, math.sqrt(0.01 * 0.99 / 100)),
        ([1], 1.0, math.sqrt(2 / 3 * 1 / 3 / 3)),
    ],
)
def test_accuracy_by_hand(correct, mean, error):
    assert accuracy([float(c) for c in correct]) == (mean, pytest.approx(error))


def test_accuracy_agrees_with_the_golden_standard_errors():
    """Golden README: 2.2 points at 50 %, 0.6 at 98 %, for 500 questions."""
    assert accuracy([1.0, 0.0] * 250)[1] == pytest.approx(0.022, abs=5e-4)
    assert accuracy([1.0] * 490 + [0.0] * 10)[1] == pytest.approx(0.006, abs=5e-4)


# --- suites ---


def make_suite(out: Path, role: str = "test", tasks: list | None = None, **options) -> Path:
    """Write a suite under `out`, named after the folder, and give its file."""
    tasks = tasks or [{"task": "addition", "split": role, "limit": 40}]
    spec = Suite.model_validate({"role": role, "tasks": tasks, **options})
    write_suite(out.name, spec, out / "suite.json")
    return out / "suite.json"


def own_task(folder: Path, rows: list[tuple[str, str]], more: str = "") -> Path:
    """A user's own lm-eval task `mine` with given prompts and answers."""
    name = "mine"
    folder.mkdir(exist_ok=True)
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps({"q": q, "a": a}) + "\n" for q, a in rows))
    (folder / f"{name}.yaml").write_text(
        f"task: {name}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {data}\n"
        "test_split: test\noutput_type: generate_until\n"
        'doc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\n'
        "generation_kwargs:\n  until: []\nmetric_list:\n  - metric: exact_match\n" + more
    )
    return folder


def test_suite_file_holds_its_questions(tmp_path, cli):
    spec = {"role": "test", "tasks": [{"task": "addition", "split": "test", "limit": 25}],
            "max_new_tokens": 9}  # fmt: skip
    out = tmp_path / "test" / "suite.json"
    assert cli("suite", "--name", "test", "--spec", json.dumps(spec), "--out", out).status == 0
    suite = read_suite(out)
    rows = PROBLEMS["addition"].questions("test")[:25]
    written = [json.loads(line) for line in (out.parent / "addition-test.jsonl").open()]
    assert written == rows
    assert (suite.name, suite.role) == ("test", "test")
    assert [task["max_new_tokens"] for task in suite.tasks] == [9]
    assert len(suite.questions) == len(set(suite.questions)) == 25


def test_generated_splits_are_disjoint(tmp_path, cli):
    paths = []
    for role in ("validation", "test"):
        tasks = [{"task": "addition", "split": role}]
        paths.append(make_suite(tmp_path / role, role, tasks))
    counts = {role: len(PROBLEMS["addition"].questions(role)) for role in ("validation", "test")}
    assert cli("disjoint", "--suites", *paths, "--out", tmp_path / "d.json").status == 0
    assert json.loads((tmp_path / "d.json").read_text()) == counts
    train = {q["prompt"] for q in PROBLEMS["addition"].questions("train")}
    for role in counts:
        assert not train & {q["prompt"] for q in PROBLEMS["addition"].questions(role)}


def test_overlap_is_refused_by_content_not_by_name(tmp_path, cli):
    """A user's own task that repeats three validation questions under another name."""
    questions = PROBLEMS["addition"].questions("validation")[:40]
    rows = [(q["prompt"], q["answer"]) for q in questions[:3]] + [("1+1=", "2")]
    folder = own_task(tmp_path / "tasks", rows)
    paths = [
        make_suite(tmp_path / "fit", "validation"),
        make_suite(tmp_path / "judge", "test", [{"task": "mine"}], include_path=str(folder)),
    ]
    message = "suites 'fit' (validation) and 'judge' (test) overlap: found 3 questions in both"
    with pytest.raises(EvaluationError) as error:
        require_disjoint([read_suite(path) for path in paths])
    assert message in str(error.value)
    result = cli("disjoint", "--suites", *paths, "--out", tmp_path / "d.json")
    assert message in result.error
    assert not (tmp_path / "d.json").exists()


def test_two_test_suites_may_share_questions(tmp_path):
    suites = [read_suite(make_suite(tmp_path / name)) for name in ("a", "b")]
    assert require_disjoint(suites) == {"a": 40, "b": 40}


def test_suite_digest_follows_what_is_asked(tmp_path):
    digests = {}
    variants = {
        "plain": {},
        "again": {},
        "fewer": {"tasks": [{"task": "addition", "split": "test", "limit": 39}]},
        "longer": {"max_new_tokens": 10},
    }
    for name, options in variants.items():
        path = make_suite(tmp_path / name / "test", **options)
        digests[name] = read_suite(path).digest
    assert digests["plain"] == digests["again"]
    assert len(set(digests.values())) == 3


def test_suite_digest_follows_the_answers(tmp_path):
    """The same questions with a mended answer: scores made before are no longer right."""
    digests = []
    for answer in ("2", "3"):
        folder = own_task(tmp_path / "tasks", [("1+1=", answer), ("2+2=", "4")])
        path = make_suite(tmp_path / "s", "test", [{"task": "mine"}], include_path=str(folder))
        digests.append(read_suite(path).digest)
    assert digests[0] != digests[1]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([{"task": "additoin"}], "task 'additoin': not found"),
        ([{"task": "mine", "split": "test"}], "task 'mine' has no split 'test'"),
    ],
)
def test_unknown_task_is_one_line(tmp_path, tasks, message):
    with pytest.raises(EvaluationError) as error:
        make_suite(tmp_path / "s", tasks=tasks)
    assert message in str(error.value)
    assert "addition" in str(error.value), "what there is"
    assert "\n" not in str(error.value)


def test_missing_suite_is_one_line(tmp_path):
    with pytest.raises(EvaluationError, match=r"no such suite; make it with `alpharl suite`"):
        read_suite(tmp_path / "suite.json")


# --- what is scored again, with an engine that only counts ---


class Counting:
    """In place of the engine: notes what it was asked to score."""

    scored: list[str]

    def __init__(self, suite, base, evaluation, gpus, rank, progress):
        self.settings = {"dtype": evaluation.dtype}
        self.key = lambda source, model: f"{source} {model} {evaluation.dtype} {suite.digest}"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def score(self, source, model, answers):
        folder = source if isinstance(source, Path) else source.folder
        type(self).scored.append(folder.name)
        return {"accuracy": 0.5, "truncated": 0.0}


@pytest.fixture
def counting(monkeypatch):
    """The counting engine, fresh."""
    Counting.scored = []
    monkeypatch.setattr(runner, "Scorer", Counting)
    return Counting


def random_adapter(out: Path, run, scale: float) -> Path:
    """A variant with a rank-1 adapter."""
    m, n = run.weights[0][UP].shape
    low = LowRank(np.ones((m, 1)), np.array([scale]), np.ones((n, 1)))
    write_variant(out, run.base, run.folders, {"kind": "test"}, {}, {UP: low})
    return out


def test_only_what_changed_is_scored_again(make_trajectory, tmp_path, counting, write_model):
    run = make_trajectory()
    variants = {
        "step-0": run.base,
        "step-10": run.folders[10],
        "a": random_adapter(tmp_path / "a", run, 0.1),
        "b": random_adapter(tmp_path / "b", run, 0.2),
    }
    write_variant(tmp_path / "c", run.base, run.folders, {}, {UP: {20: 1.0}})
    variants["c"] = tmp_path / "c"
    suite = read_suite(make_suite(tmp_path / "test"))

    def again(suite=suite, **settings) -> list[str]:
        counting.scored = []
        given = Evaluation(**{"batch_size": 8} | settings)
        score_variants(suite, run.base, variants, KnownDigests([]), tmp_path / "out", given,
                       {"run": "r"})  # fmt: skip
        return counting.scored

    assert again() == ["base", "step-10", "a", "b", "c"]
    assert again() == []
    assert again(batch_size=64) == [], "a batch is speed, not a result"
    random_adapter(tmp_path / "b", run, 0.2)
    assert again() == [], "made anew with the same content"
    random_adapter(tmp_path / "b", run, 0.3)
    assert again() == ["b"]
    write_model(run.folders[20], {n: t + 1 for n, t in run.weights[20].items()})
    assert again() == ["c"], "a blend depends on its checkpoints"
    write_model(run.folders[10], {n: t + 1 for n, t in run.weights[10].items()})
    assert again() == ["step-10"]
    (tmp_path / "out" / "a.json").unlink()
    assert again() == ["a"]
    write_model(run.base, {n: t + 1 for n, t in run.weights[0].items()})
    assert again() == ["base", "a", "b", "c"], "an update is added to its base"
    assert len(again(dtype="bfloat16")) == 5
    longer = read_suite(make_suite(tmp_path / "test", max_new_tokens=12))
    assert len(again(dtype="bfloat16", suite=longer)) == 5


def test_result_is_written_as_soon_as_it_is_there(make_trajectory, tmp_path, counting, monkeypatch):
    """A kill in the middle loses one variant, not all."""
    run = make_trajectory()
    variants = {name: random_adapter(tmp_path / name, run, 0.1) for name in "ab"}
    suite = read_suite(make_suite(tmp_path / "test"))

    def killed(self, source, model, answers):
        if source.folder.name == "b":
            raise KeyboardInterrupt
        return {"accuracy": 0.5, "truncated": 0.0}

    plain = counting.score
    monkeypatch.setattr(counting, "score", killed)
    arguments = (suite, run.base, variants, KnownDigests([]), tmp_path / "out", Evaluation(), {})
    with pytest.raises(KeyboardInterrupt):
        score_variants(*arguments)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.json"]
    monkeypatch.setattr(counting, "score", plain)
    score_variants(*arguments)
    assert counting.scored == ["b"]


def test_accuracy_table_is_ordered_by_step(tmp_path, cli):
    paths = []
    for step, value in ((120, 0.9), (0, 0.25), (12, 1 / 3)):
        paths.append(tmp_path / f"step-{step}.json")
        result = {"variant": f"step-{step}", "accuracy": value, "stderr": 0.01, "n": 300}
        paths[-1].write_text(json.dumps(result))
    out = tmp_path / "S.csv"
    assert cli("accuracy", "--scores", *paths, "--out", out).status == 0
    assert out.read_text().splitlines() == [
        "step,accuracy,stderr,n", "0,0.25,0.01,300", "12,0.333333,0.01,300", "120,0.9,0.01,300",
    ]  # fmt: skip


# --- real scores: a 1M-parameter model that adds two numbers ---


@pytest.fixture(scope="module")
def real(golden, tmp_path_factory) -> dict:
    """Variants of the golden run, scored on 60 questions of ours in one process.

    The same adapter stands before and after others, so that one which is not taken off shows.
    """
    from alpharl.cli import main

    root, run = tmp_path_factory.mktemp("scores"), golden / "trajectory"

    def verb(*args: object) -> None:
        assert main([str(arg) for arg in args]) == 0

    where = ["--base", run / "base"]
    rank = ["rank", *where, "--checkpoint", run / "step-120"]
    window = ["forecast", *where, "--checkpoints", f"{run}/step-{{step}}", "--target-step", 120]
    flat = root / "flat.csv"
    flat.write_text("step,accuracy\n12,0.5\n24,0.5\n")
    verb(*rank, "--rank", 1, "--out", root / "rank-1")
    verb("export", root / "rank-1", "--out", root / "rank-1-dense")
    verb(*rank, "--kind", "random", "--rank", 1, "--out", root / "random")
    verb(*rank, "--kind", "without", "--rank", 1, "--out", root / "without")
    verb("export", root / "without", "--out", root / "without-dense")
    verb(*window, "--through", 24, "--method", "alpharl-paper", "--scores", flat,
         "--record-undefined", "--out", root / "undefined")  # fmt: skip
    suite = make_suite(root / "test", "test", [{"task": "addition", "split": "test", "limit": 60}],
                       max_new_tokens=9)  # fmt: skip
    folders = {
        "base": run / "base",
        **{name: root / name for name in ("rank-1", "random", "rank-1-dense", "without",
                                          "without-dense", "undefined")},
        "base-again": run / "base",
        "rank-1-again": root / "rank-1",
    }  # fmt: skip
    score = ["evaluate", "--suite", suite, *where, "--run", "golden", "--batch-size", 32,
             "--out", root / "out"]  # fmt: skip
    for name, folder in folders.items():
        score += ["--variant", f"{name}={folder}"]
    verb(*score)
    found = {p.stem: json.loads(p.read_text()) for p in (root / "out").glob("*.json")}
    assert set(found) == set(folders)
    return {
        "scores": found,
        "suite": read_suite(suite),
        "verb": verb,
        "arguments": score,
        "root": root,
    }


@pytest.mark.parametrize("name", ["rank-1", "without"])
def test_score_of_a_variant_is_that_of_its_merged_model(real, name):
    one, other = real["scores"][name], real["scores"][f"{name}-dense"]
    assert one["correct"] == other["correct"], "question by question"
    assert one["accuracy"] == other["accuracy"]
    assert one["correct"] != real["scores"]["base"]["correct"], "the variant does something"


def test_an_adapter_is_taken_off_again(real):
    scores = real["scores"]
    assert scores["base-again"]["correct"] == scores["base"]["correct"]
    assert scores["rank-1-again"]["correct"] == scores["rank-1"]["correct"]
    assert scores["random"]["correct"] != scores["rank-1"]["correct"]


def test_random_direction_gains_nothing_and_rank_one_does(real):
    """Issue 2: rank-1 keeps about two thirds of the gain, a random rank-1 update none."""
    accuracy = {name: score["accuracy"] for name, score in real["scores"].items()}
    assert accuracy["rank-1"] - accuracy["base"] > 0.2
    assert abs(accuracy["random"] - accuracy["base"]) < 0.15


def test_result_file_is_complete(real):
    suite = real["suite"]
    for name, score in real["scores"].items():
        assert (score["variant"], score["run"], score["suite"]) == (name, "golden", "test")
        assert (score["role"], score["engine"], score["dtype"]) == ("test", "hf", "float32")
        assert score["suite_digest"] == suite.digest
        if name == "undefined":
            assert score["versions"] == {}
            continue
        assert set(score["versions"]) == {"torch", "transformers", "lm-eval", "peft"}
        assert score["n"] == 60
        assert score["question_ids"] == suite.questions
        assert set(score["correct"]) <= {0.0, 1.0}
        assert (score["accuracy"], score["stderr"]) == pytest.approx(accuracy(score["correct"]))
        assert 0 <= score["truncated"] <= 1
        assert score["seconds"] > 0


def test_undefined_forecast_has_no_accuracy(real):
    score = real["scores"]["undefined"]
    assert score["accuracy"] is None
    assert score["stderr"] is None
    assert (score["n"], score["correct"], score["question_ids"]) == (0, [], [])


def test_scoring_again_starts_no_engine(real, monkeypatch):
    import alpharl.evaluation.hf as hf

    monkeypatch.setattr(hf, "HfEngine", None)
    before = {p.name: p.stat().st_mtime_ns for p in (real["root"] / "out").iterdir()}
    real["verb"](*real["arguments"])
    assert {p.name: p.stat().st_mtime_ns for p in (real["root"] / "out").iterdir()} == before


def test_scores_equal_what_generation_by_hand_gives(real, golden):
    """Greedy decoding written out: argmax of the logits, nine tokens, text after the last `=`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = golden / "trajectory" / "base"
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(real["root"] / "rank-1-dense").eval()
    rows = PROBLEMS["addition"].questions("test")[:60]
    tokens = torch.tensor([tokenizer.encode(q["prompt"], add_special_tokens=False) for q in rows])
    with torch.no_grad():
        for _ in range(9):
            following = model(tokens).logits[:, -1].argmax(-1, keepdim=True)
            tokens = torch.cat([tokens, following], dim=1)
    correct = []
    for question, answer in zip(rows, tokens[:, -9:].tolist(), strict=True):
        end = answer.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in answer else 9
        text = tokenizer.decode(answer[:end], skip_special_tokens=True).replace(" ", "")
        correct.append(float(text.rpartition("=")[2] == question["answer"]))
    assert correct == real["scores"]["rank-1-dense"]["correct"]


FILTERS = """filter_list:
  - name: last-number
    filter:
      - function: regex
        regex_pattern: "([0-9]+)$"
      - function: take_first
"""
SECOND = """  - name: whole
    filter:
      - function: take_first
"""


@pytest.mark.parametrize("more", [FILTERS, FILTERS + SECOND], ids=["one filter", "two filters"])
def test_users_own_task_gets_one_outcome_per_question(real, golden, tmp_path, more):
    """Public tasks such as gsm8k extract answers in several ways; the first one listed counts."""
    questions = PROBLEMS["addition"].questions("test")[:60]
    folder = own_task(tmp_path / "tasks", [(q["prompt"], q["answer"]) for q in questions], more)
    suite = make_suite(tmp_path / "s", "test", [{"task": "mine"}], include_path=str(folder),
                       max_new_tokens=9)  # fmt: skip
    real["verb"]("evaluate", "--suite", suite, "--base", golden / "trajectory" / "base",
                 "--variant", f"rank-1={real['root'] / 'rank-1'}", "--out", tmp_path)  # fmt: skip
    score = json.loads((tmp_path / "rank-1.json").read_text())
    assert score["n"] == len(score["question_ids"]) == 60
    assert score["correct"] == real["scores"]["rank-1"]["correct"]


def test_merged_control_scores_what_is_exported(golden, tmp_path):
    """On a 16-bit base, where merging rounds and an adapter does not."""
    import torch
    from alpharl.cli import main
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = golden / "trajectory"
    for name in ("base", "step-36"):
        model = AutoModelForCausalLM.from_pretrained(run / name, dtype=torch.bfloat16)
        model.save_pretrained(tmp_path / name)
        AutoTokenizer.from_pretrained(run / "base").save_pretrained(tmp_path / name)
    where = ["--base", tmp_path / "base"]

    def verb(*args: object) -> None:
        assert main([str(arg) for arg in args]) == 0

    for name in ("adapter", "merged"):
        flag = ["--merged"] if name == "merged" else []
        verb("rank", *where, "--checkpoint", tmp_path / "step-36", "--rank", 1, *flag,
             "--out", tmp_path / name)  # fmt: skip
    verb("export", tmp_path / "merged", "--out", tmp_path / "dense")
    variants = [f"--variant={name}={tmp_path / name}" for name in ("adapter", "merged", "dense")]
    tasks = [{"task": "addition", "split": "test", "limit": 100}]
    found = {}
    for kind, options in (("greedy", {}), ("drawn", {"temperature": 1.0})):
        suite = make_suite(tmp_path / kind, "test", tasks, max_new_tokens=9, **options)
        out = tmp_path / f"{kind}-scores"
        verb("evaluate", "--suite", suite, *where, *variants, "--out", out)
        for name in ("adapter", "merged", "dense"):
            lines = (out / f"{name}.answers.jsonl").read_text().splitlines()[2:]
            rows = sorted((row["prompt"], row["text"]) for row in map(json.loads, lines))
            found[kind, name] = rows, json.loads((out / f"{name}.json").read_text())

    def equal(kind: str, other: str) -> int:
        pairs = zip(found[kind, "merged"][0], found[kind, other][0], strict=True)
        return sum(one == two for one, two in pairs)

    assert equal("greedy", "dense") == 100
    assert equal("drawn", "adapter") > 90, "the same seeds: only rounding tells them apart"
    assert equal("drawn", "dense") < 90, "another model's seeds"
    adapter, merged = (found["greedy", name][1] for name in ("adapter", "merged"))
    assert merged["model_digest"] == adapter["model_digest"]
    assert merged["key"] != adapter["key"]


def test_other_questions_than_a_suite_was_fixed_with_are_refused(golden, tmp_path, cli):
    """The user's data, or a public set that another study fetched again."""
    folder = own_task(tmp_path / "tasks", [("1+1=", "2"), ("2+2=", "4")])
    suite = make_suite(tmp_path / "s", "test", [{"task": "mine"}], include_path=str(folder))
    own_task(tmp_path / "tasks", [("1+1=", "2"), ("2+3=", "5")])
    base = golden / "trajectory" / "base"
    result = cli("evaluate", "--suite", suite, "--base", base, "--variant", f"b={base}",
                 "--out", tmp_path / "out")  # fmt: skip
    assert "task 'mine': found other questions than the suite was fixed with" in result.error
    assert not (tmp_path / "out").exists()


def test_key_follows_the_chat_template_and_not_the_memory(golden, tmp_path):
    """A mended template makes other prompts of the same questions; a setting of speed does not."""
    base = tmp_path / "base"
    base.mkdir()
    for file in (golden / "trajectory" / "base").iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    suite = read_suite(make_suite(tmp_path / "s", chat_template=True, max_new_tokens=9))

    def key(template: str, **evaluation) -> str:
        tokenizer = AutoTokenizer.from_pretrained(golden / "trajectory" / "base")
        tokenizer.chat_template = template
        tokenizer.save_pretrained(base)
        return Scorer(suite, base, Evaluation(**evaluation)).key(base, "model")

    plain = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    vllm = {"engine": "vllm", "environment": "e"}
    assert key(plain) == key(plain, batch_size=3)
    assert key(plain) != key("1" + plain)
    low, high = ({**vllm, "vllm": {"gpu_memory_utilization": share}} for share in (0.5, 0.9))
    assert key(plain, **low) == key(plain, **high)
    assert key(plain, **low) != key(plain, **vllm, vllm={"quantization": "fp8"})


OWN_FILTER = """filter_list:
  - name: own
    filter:
      - function: custom
        filter_fn: !function own.pick
      - function: take_first
"""


def test_suite_digest_does_not_follow_where_functions_lie(tmp_path):
    """A filter function of the user's: its text counts, in every process alike."""
    folder = own_task(tmp_path / "tasks", [("1+1=", "2")], OWN_FILTER)
    spec = {"role": "test", "tasks": [{"task": "mine"}], "include_path": str(folder)}
    digests = []
    for text in ("r[0]", "r[0]", "r[-1]"):
        body = f"    return [[{text}] for r in resps]\n"
        (folder / "own.py").write_text("def pick(resps, docs):\n" + body)
        out = tmp_path / "suite.json"
        command = [sys.executable, "-m", "alpharl.cli", "suite", "--name", "s", "--out", str(out),
                   "--spec", json.dumps(spec)]  # fmt: skip
        subprocess.run(command, check=True)
        digests.append(read_suite(out).digest)
    assert digests[0] == digests[1] != digests[2]
