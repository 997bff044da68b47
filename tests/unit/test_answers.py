"""Answers that are kept: a killed job asks only for what it had not got."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from alpharl.evaluation.answering import Meter
from alpharl.evaluation.answers import AnswerFile, merged_versions
from alpharl.evaluation.engines.hf import Hf, HfEngine
from alpharl.evaluation.runner import Scorer, score_variants
from alpharl.evaluation.settings import Suite
from alpharl.evaluation.suites import read_suite, write_suite
from alpharl.progress import Progress

HEAD = {"model": "m", "engine": "hf"}


def test_answers_are_there_again(tmp_path):
    path, places = tmp_path / "a.jsonl", [("t", "p", 0), ("t", "p", 1), ("u", "q", 0)]
    texts = ["line\u2028end\n", "", "\u00fc"]
    with AnswerFile(path, HEAD) as file:
        file.begin({"torch": "2.9"})
        for place, text in zip(places, texts, strict=True):
            file.add(place, {"tokens": len(text), "finished": True}, text)
        assert file.texts(places[::-1]) == texts[::-1], "also while it is written"
    again = AnswerFile(path, HEAD)
    assert again.texts(places) == texts
    row = {"tokens": len(texts[0]), "finished": True, "versions": {"torch": "2.9"}}
    assert again.rows[places[0]] == row
    assert AnswerFile(path, {**HEAD, "model": "other"}).rows == {}
    memory = AnswerFile(None, HEAD)
    memory.add(places[0], {"tokens": 1, "finished": True}, "kept")
    assert memory.texts(places[:1]) == ["kept"]


@pytest.mark.parametrize("end", [b"", b'{"task": "t", "pro', b"\0" * 40 + b"\n", b"\xff\n{}\n"])
def test_what_a_kill_or_a_crash_left_broken_does_not_count(tmp_path, end):
    path = tmp_path / "a.jsonl"
    with AnswerFile(path, HEAD) as file:
        file.add(("t", "p", 0), {"tokens": 1, "finished": True}, "one")
    whole = path.read_bytes()
    path.write_bytes(whole + end)
    with AnswerFile(path, HEAD) as file:
        assert list(file.rows) == [("t", "p", 0)]
        file.add(("t", "p", 1), {"tokens": 2, "finished": True}, "two")
    data = path.read_bytes()
    assert data.startswith(whole) and data.count(b"\n") == 3
    assert AnswerFile(path, HEAD).texts([("t", "p", 1), ("t", "p", 0)]) == ["two", "one"]


def test_another_models_answers_are_replaced(tmp_path):
    path = tmp_path / "a.jsonl"
    with AnswerFile(path, HEAD) as file:
        file.add(("t", "p", 0), {"tokens": 1, "finished": True}, "one")
    other = {**HEAD, "model": "other"}
    with AnswerFile(path, other) as file:
        assert file.rows == {}
    assert AnswerFile(path, HEAD).rows, "only reading changes nothing"
    with AnswerFile(path, other) as file:
        file.add(("t", "p", 5), {"tokens": 1, "finished": True}, "two")
    assert list(AnswerFile(path, other).rows) == [("t", "p", 5)]
    assert AnswerFile(path, HEAD).rows == {}


def test_answers_of_two_versions_name_both(tmp_path):
    path = tmp_path / "a.jsonl"
    for sample, number in enumerate(("2.9", "2.10")):
        with AnswerFile(path, HEAD) as file:
            file.begin({"torch": number, "peft": "1"})
            file.add(("t", "p", sample), {"tokens": 1, "finished": True}, "x")
    found = merged_versions(AnswerFile(path, HEAD).rows.values())
    assert found == {"torch": "2.9, 2.10", "peft": "1"}


@pytest.mark.parametrize("size", [1, 4])
def test_time_left_is_right_for_batches_too(monkeypatch, size):
    """Answers that take 3 s each, and come one by one or four at once."""
    clock, shown = [0.0], []

    class Told(Progress):
        def step(self, task, done, total, item):
            shown.append((clock[0], f"{done}/{total} {item}"))

    monkeypatch.setattr("alpharl.evaluation.answering.time.monotonic", lambda: clock[0])
    meter = Meter(20, Told())
    for answer in range(20):
        clock[0] = 3.0 * size * (answer // size + 1) + 1e-4 * (answer % size)
        meter.tick()
    assert len(shown) > 3
    for now, line in shown:
        done, left = re.fullmatch(r"(\d+)/20 answers, about (\d+) s left", line).groups()
        assert int(left) == 60 - now, line
        assert int(done) == now / 3 - size, "as it stood before"


# --- with a real model ---


def suite_file(folder: Path, **options):
    spec = {"role": "test", "max_new_tokens": 9, "temperature": 0.8, "samples": 2,
            "tasks": [{"task": "addition", "split": "test", "limit": 20}]} | options  # fmt: skip
    write_suite("s", Suite.model_validate(spec), folder / "suite.json")
    return read_suite(folder / "suite.json")


@pytest.fixture
def score(golden, tmp_path, monkeypatch):
    """`score(name, **suite options)` scores a golden model; tells how many answers were asked."""
    run, asked = golden / "trajectory", []
    monkeypatch.setenv("TQDM_DISABLE", "1")

    def counted(self, source):
        from contextlib import contextmanager

        @contextmanager
        def model():
            with plain(self, source) as generate:

                def count(prompts, decoding):
                    for found in generate(prompts, decoding):
                        asked.append(found)
                        yield found
                        if len(asked) == score_one.kill:
                            raise KeyboardInterrupt

                yield count

        return model()

    plain = HfEngine.model
    monkeypatch.setattr(HfEngine, "model", counted)

    def score_one(model="step-120", **options) -> tuple[int, dict]:
        asked.clear()
        digests = {str(run / name): name for name in ("base", "step-120", "step-60")}
        out = tmp_path / "out"
        score_variants(suite_file(tmp_path / "suite", **options), run / "base", {"v": run / model},
                       digests, out, Hf(batch_size=8), {})  # fmt: skip
        return len(asked), json.loads((out / "v.json").read_text())

    score_one.kill = 0
    return score_one


def test_only_new_questions_and_samples_are_asked(score):
    few, first = score()
    assert (few, first["n"], first["samples"]) == (40, 20, 2)
    tasks = [{"task": "addition", "split": "test", "limit": 25}]
    assert score()[0] == 0
    assert score(samples=3)[0] == 20
    more, second = score(samples=3, tasks=tasks)
    assert (more, second["n"]) == (15, 25)
    back, again = score()
    assert back == 0, "all are there"
    assert again["correct"] == first["correct"]
    assert again["accuracy"] == first["accuracy"]


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0.7}, {"top_p": 0.9}, {"top_k": 5}, {"seed": 1}, {"max_new_tokens": 8},
     {"stop": ["="]}, {"model": "step-60"}],
    ids=str,
)  # fmt: skip
def test_what_changes_answers_asks_for_all(score, options):
    score()
    assert score(**options)[0] == 40


def test_a_kill_loses_the_running_batch_at_most(score):
    whole = score()[1]
    score(model="step-60")
    score.kill = 19
    with pytest.raises(KeyboardInterrupt):
        score()
    score.kill = 0
    asked, result = score()
    assert asked == 40 - 19
    for key in ("correct", "accuracy", "pass_at", "tokens", "question_ids"):
        assert result[key] == whole[key]


def test_a_grader_that_changed_asks_nothing(score, monkeypatch):
    """Text is kept, so a mended grader costs no generation."""
    from alpharl.evaluation import runner

    first = score()[1]
    monkeypatch.setattr(runner, "SCORE_VERSION", -1)
    asked, again = score()
    assert asked == 0
    assert again["key"] != first["key"]
    assert again["correct"] == first["correct"]


def test_result_has_its_settings_and_statistics(score):
    _, result = score(samples=4)
    assert set(result["pass_at"]) == {"1", "2", "4"}
    assert result["pass_at"]["1"] == pytest.approx(result["accuracy"])
    assert result["tasks"]["addition"]["accuracy"] == result["accuracy"]
    assert "correct" not in result["tasks"]["addition"]
    assert result["decoding"] == {
        "temperature": 0.8, "top_p": 1.0, "top_k": 0, "samples": 4, "seed": 0, "stop": [],
        "chat_template": False, "max_new_tokens": {"addition": 9},
    }  # fmt: skip
    assert "random numbers of its own" in result["seed_note"]


def test_prompt_and_budget_must_fit_the_context(golden, tmp_path):
    from alpharl.errors import EvaluationError

    suite = suite_file(tmp_path, max_new_tokens=10_000)
    with pytest.raises(EvaluationError, match=r"budget of 10000, expected at most \d+ together"):
        Scorer(suite, golden / "trajectory" / "base", Hf())


def test_checkpoints_that_run_out_of_tokens_fail(golden, tmp_path, cli):
    """With two tokens no scratchpad ends; the result is written all the same."""
    suite_file(tmp_path, max_new_tokens=2, temperature=0, samples=1)
    run = golden / "trajectory"
    arguments = ["evaluate", "--suite", tmp_path / "suite.json", "--base", run / "base",
                 "--variant", f"step-120={run}/step-120", "--out", tmp_path / "out"]  # fmt: skip
    result = cli(*arguments)
    assert "more than 20% of the answers ran out of tokens, of step-120" in result.error
    assert "max_truncated" in result.error
    assert json.loads((tmp_path / "out" / "step-120.json").read_text())["truncated"] > 0.9
    assert "ran out of tokens" in cli(*arguments).error, "also when nothing is left to do"
    assert cli(*arguments, "--allow-truncation").status == 0
    suite_file(tmp_path, max_new_tokens=2, temperature=0, samples=1, max_truncated=1)
    assert cli(*arguments).status == 0
