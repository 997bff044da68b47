"""Suites as they are written: questions, digests, and what may not overlap."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from alpharl.checkpoints.files import read_record
from alpharl.errors import EvaluationError
from alpharl.evaluation.suites import read_suite, require_disjoint
from alpharl.problems import PROBLEMS
from tests.unit.suites import make_suite, own_task


def test_suite_file_holds_its_questions(tmp_path, cli):
    spec = {"role": "test", "tasks": [{"task": "addition", "split": "test", "limit": 25}],
            "max_new_tokens": 9}  # fmt: skip
    out = tmp_path / "test" / "suite.json"
    result = cli("suite", "--name", "test", "--spec", json.dumps(spec), "--out", out, "--json")
    assert json.loads(result.out) == {"written": [str(out)], "questions": 25}
    suite = read_suite(out)
    rows = PROBLEMS["addition"].questions("test")[:25]
    written = [json.loads(line) for line in (out.parent / "addition-test.jsonl").open()]
    assert written == rows
    assert (suite.name, suite.role) == ("test", "test")
    assert [task["max_new_tokens"] for task in suite.tasks] == [9]
    assert len(suite.questions) == len(set(suite.questions)) == 25


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{", "found '{' as --spec, expected JSON"),
        ('{"role": "test", "task": []}', "unknown key 'task', did you mean 'tasks'?"),
    ],
)
def test_a_wrong_spec_is_one_line(tmp_path, cli, spec, message):
    result = cli("suite", "--name", "s", "--spec", spec, "--out", tmp_path / "suite.json")
    assert message in result.error and len(result.err.splitlines()) == 1


def test_generated_splits_are_disjoint(tmp_path, cli):
    paths = []
    for role in ("validation", "test"):
        tasks = [{"task": "addition", "split": role}]
        paths.append(make_suite(tmp_path / role, role, tasks))
    counts = {role: len(PROBLEMS["addition"].questions(role)) for role in ("validation", "test")}
    assert cli("disjoint", "--suites", *paths, "--out", tmp_path / "d.json").status == 0
    assert read_record(tmp_path / "d.json", dict, "alpharl disjoint") == counts
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
