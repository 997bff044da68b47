"""Task files of the user's own: what is broken or endless in them ends in one line."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from alpharl.confined import Confined
from alpharl.evaluation import confined_tasks, questions
from tests.unit.suites import own_task

ROWS = [("1+1=", "2"), ("2+2=", "4")]
SPEC = {"role": "test", "tasks": [{"task": "mine"}], "max_new_tokens": 2, "max_truncated": 1}
FUNCTIONS = """
import re, sys, time
def loops(*_):
    while True: pass
def backtracks(doc): return re.match(r"(a+)+$", "a" * 99 + "b") or doc["q"]
def powers(*_): return len(str(9 ** 9 ** 9))
def sleeps(*_): time.sleep(99)
def fills(*_): return len(bytes(20 << 30))
def ends(*_): sys.exit(3)
def fails(*_): return {}["no such key"]
def right(doc, results): return {"exact_match": float(results[0] == doc["a"])}
"""


@pytest.fixture
def suite(good: Path, tmp_path: Path, cli, monkeypatch):
    """`suite(yaml)` fixes the questions of a task with more lines; gives the result."""
    monkeypatch.chdir(good)
    monkeypatch.setattr(confined_tasks, "LOAD_SECONDS", 2.0)
    monkeypatch.setattr(confined_tasks, "QUESTION_SECONDS", 1.0)
    monkeypatch.setattr(confined_tasks, "GRADE_SECONDS", 1.0)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "own.py").write_text(FUNCTIONS)
    spec = json.dumps(SPEC | {"include_path": str(tmp_path / "tasks")})

    def call(more: str = "", **replaced: str):
        file = own_task(tmp_path / "tasks", ROWS, more) / "mine.yaml"
        for key, value in replaced.items():
            text = re.sub(rf"^{key}: .*\n", "", file.read_text(), flags=re.MULTILINE)
            file.write_text(f"{text}{key}: {value}\n")
        return cli("suite", "--name", "s", "--spec", spec, "--out", tmp_path / "s" / "suite.json")

    return call


@pytest.fixture
def evaluate(tmp_path: Path, cli):
    """Scores the base on that suite."""
    return lambda: cli("evaluate", "--suite", tmp_path / "s" / "suite.json", "--base", "base",
                       "--variant", "b=base", "--out", tmp_path / "out")  # fmt: skip


TIME = r"takes more than [12] seconds"
LIMITED = {
    "loops": TIME,
    "powers": TIME,
    "sleeps": TIME,
    "fills": "takes more than 8 GiB of memory",
    "ends": "takes more than 8 GiB of memory, or ends its process",
}
KEYS = [("process_docs", function) for function in LIMITED]
KEYS += [("doc_to_text", "powers"), ("doc_to_target", "loops")]


@pytest.mark.parametrize(("key", "function"), KEYS)
def test_what_makes_questions_is_limited(suite, tmp_path, key, function):
    started, before = time.monotonic(), sorted(tmp_path.iterdir())
    line = suite(**{key: f"!function own.{function}"}).error
    assert re.search(f"task 'mine': making its questions {LIMITED[function]}, expected less", line)
    assert line.endswith("; correct its file or its functions")
    assert time.monotonic() - started < 20
    assert sorted(tmp_path.iterdir()) == before, "nothing is left"


def test_a_template_and_a_regular_expression_without_end(suite):
    loop = "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3
    for text in (f'"{loop}"', "!function own.backtracks"):
        assert re.search(f"task 'mine': making .* {TIME}", suite(doc_to_text=text).error)


@pytest.mark.parametrize("function", LIMITED)
def test_grading_is_limited(suite, evaluate, tmp_path, function):
    assert suite(process_results=f"!function own.{function}").status == 0
    line = evaluate().error
    assert re.search(f"task 'mine': grading an answer to question 1 {LIMITED[function]}", line)
    assert not list((tmp_path / "out").glob("*.json")), "no result"


def test_a_filter_without_end(suite, evaluate, monkeypatch):
    """A regular expression that backtracks over an answer, whatever the model says."""
    more = (
        "filter_list:\n- name: f\n  filter:\n  - function: regex\n"
        "    regex_pattern: '(([\\s\\S]?)*)*[^\\s\\S]'\n  - function: take_first\n"
    )
    assert suite(more).status == 0
    grade = questions.grade
    written = ["a" * 200]
    monkeypatch.setattr(questions, "grade", lambda task, ones, _: grade(task, ones, written))
    assert re.search(f"grading an answer to question 1 {TIME}", evaluate().error)


@pytest.mark.parametrize(
    ("replaced", "line"),
    [
        ({"process_docs": "!function own.fails"}, r"lm-eval cannot load it from .*no such key"),
        ({"doc_to_text": "!function own.fails"}, r"\(.*KeyError.*no such key"),
        ({"doc_to_text": "!function own.missing"}, "lm-eval cannot load it from .*missing"),
        ({"doc_to_text": "!function other.fails"}, "lm-eval cannot load it from .*other"),
        ({"doc_to_text": '"{{ q.__class__ }"'}, "task 'mine': "),
        ({"doc_to_text": '"{{ nothing }}"'}, "task 'mine': "),
    ],
)
def test_what_is_broken_is_told_in_a_line(suite, replaced, line):
    done = suite(**replaced)
    assert re.search(line, done.error) and "; correct" in done.error
    assert len(done.err.splitlines()) == 1


def test_a_grader_that_fails_is_told_in_a_line(suite, evaluate):
    assert suite(process_results="!function own.fails").status == 0
    assert "grading an answer to question 1 fails (KeyError: 'no such key'), expected" in (
        evaluate().error
    )


def test_a_task_that_keeps_within_the_limits_is_scored_as_before(suite, evaluate, tmp_path):
    assert suite(process_results="!function own.right").status == 0
    assert evaluate().status == 0
    score = json.loads((tmp_path / "out" / "b.json").read_text())
    assert score["n"] == 2 and score["accuracy"] in (0, 0.5, 1)


def test_the_answers_of_a_task_are_graded_by_one_process(monkeypatch):
    made = []
    monkeypatch.setattr(
        confined_tasks, "Confined", lambda *a: made.append(Confined(*a)) or made[-1]
    )
    grader = confined_tasks.ConfinedGrader("mine", lambda number, text: (number + 0.5, f"<{text}>"))
    assert grader([3, 4], ["a", "b"]) == [(3.5, "<a>"), (4.5, "<b>")]
    assert grader([5], ["é\n"]) == [(5.5, "<é\n>")] and len(made) == 1
