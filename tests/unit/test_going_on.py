"""Jobs of many models that are killed half-way: what was asked is not asked again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alpharl.cli import main
from alpharl.evaluation.engines import hf
from alpharl.evaluation.journal import RowFile

QUESTIONS = 20


def verb(*args: object) -> None:
    assert main([str(arg) for arg in args]) == 0


class Killed(BaseException):
    """What no code here catches."""


@pytest.fixture
def asked(monkeypatch) -> Iterator[list[int]]:
    """Counts answers that the engine gives; `asked.kill` is the number that it dies at."""

    class Counter(list[int]):
        kill = 0

    counter, plain = Counter(), hf.HfEngine.model

    @contextmanager
    def counted(self, source):
        with plain(self, source) as generate:

            def count(prompts, decoding):
                for found in generate(prompts, decoding):
                    counter.append(1)
                    yield found
                    if len(counter) == counter.kill:
                        raise Killed

            yield count

    monkeypatch.setattr(hf.HfEngine, "model", counted)
    yield counter


@pytest.fixture
def suite(tmp_path) -> Callable[[str], Path]:
    """`suite(role)` makes one."""

    def make(role: str) -> Path:
        spec = {"role": role, "max_new_tokens": 9,
                "tasks": [{"task": "addition", "split": role, "limit": QUESTIONS}]}  # fmt: skip
        out = tmp_path / role / "suite.json"
        verb("suite", "--name", role, "--spec", json.dumps(spec), "--out", out)
        return out

    return make


def test_a_search_on_the_validation_suite_goes_on(golden, tmp_path, suite, asked):
    run, asked_for = golden / "trajectory", suite("validation")

    def search(out: str, trials: str) -> dict[str, Any]:
        asked.clear()
        verb("forecast", "--base", run / "base", "--checkpoints", f"{run}/step-{{step}}",
             "--through", 36, "--target-step", 72, "--method", "effopd", "--option", "trials=2",
             "--suite", asked_for, "--batch-size", 5, "--trials", tmp_path / trials,
             "--out", tmp_path / out)  # fmt: skip
        found: dict[str, Any] = json.loads((tmp_path / out / "variant.json").read_text())
        return found["fit"]

    whole = search("whole", "a")
    models = len(whole["validation"])
    assert len(asked) == models * QUESTIONS
    asked.kill = QUESTIONS + 7
    with pytest.raises(Killed):
        search("v", "b")
    assert not (tmp_path / "v").exists()
    done, asked.kill = len(asked), 0
    assert search("v", "b") == whole
    assert len(asked) == models * QUESTIONS - done
    assert len(list((tmp_path / "b").iterdir())) == models, "a file for each trial model"
    search("again", "b")
    assert not asked


def test_token_level_analyses_go_on(golden, tmp_path, suite, asked, monkeypatch):
    run, asked_for = golden / "trajectory", suite("test")
    models = {"base": run / "base", "full": run / "step-120"}
    verb("evaluate", "--suite", asked_for, "--base", run / "base", "--out", tmp_path / "scores",
         *(f"--variant={name}={folder}" for name, folder in models.items()))  # fmt: skip
    read: list[str] = []
    plain = RowFile.__setitem__

    def note(self, key, row):
        plain(self, key, row)
        read.append(key)

    monkeypatch.setattr(RowFile, "__setitem__", note)

    def tokens(out: str) -> list[str]:
        asked.clear()
        read.clear()
        writers = [f"--writer={name}={tmp_path}/scores/{name}.answers.jsonl" for name in models]
        verb("tokens", "--suite", asked_for, "--base", run / "base", *writers,
             f"--reader=full={run / 'step-120'}", "--prefix", 1, 4, "--batch-size", 5,
             "--out", tmp_path / out)  # fmt: skip
        assert {path.stem for path in (tmp_path / out).iterdir()} == {"reading", "prefix"}
        return [(tmp_path / out / name).read_text() for name in ("reading.csv", "prefix.csv")]

    whole = tokens("whole")
    assert len(read) == 4 + 4
    asked.kill = len(asked) // 2 + 1
    with pytest.raises(Killed):
        tokens("killed")
    done, asked.kill = set(read), 0
    assert 4 < len(done) < 8
    assert tokens("killed") == whole
    assert len(read) == 8 - len(done) and not done & set(read)


def test_rows_of_something_else_are_not_taken(tmp_path):
    rows = RowFile(tmp_path / "rows", {"of": "this"})
    rows["a"] = {"x": 1.5, "y": float("inf")}
    with (tmp_path / "rows").open("a") as file:
        file.write('{"key": "b", "row"')  # the line at which a kill came
    again = RowFile(tmp_path / "rows", {"of": "this"})
    assert again["a"] == {"x": 1.5, "y": float("inf")} and "b" not in again
    again["b"] = {"x": 2}
    assert RowFile(tmp_path / "rows", {"of": "this"})["b"] == {"x": 2}
    assert "a" not in RowFile(tmp_path / "rows", {"of": "that"})
