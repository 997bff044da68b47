"""The shipped data tasks, each on a few made-up questions in its data set's own columns."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from alpharl.errors import EvaluationError
from alpharl.evaluation import lm_tasks
from alpharl.evaluation.datasets import DATASETS
from alpharl.evaluation.lm_tasks import load_task, questions_of
from alpharl.evaluation.protocols import PROTOCOLS

GPQA = {
    "Question": "Which of these made-up particles is the heaviest?",
    "Correct Answer": "the glumon",
    "Incorrect Answer 1": "the frobon\n",
    "Incorrect Answer 2": "the wibblon",
    "Incorrect Answer 3": "the snarkon",
    "Subdomain": "Made-up physics",
}
ROWS = {
    "gsm8k": {
        "question": "A cook has 3 pans and buys 4. How many pans are there?",
        "answer": "The cook has 3+4=<<3+4=7>>7 pans.\n#### 7",
    },
    "svamp": {
        "ID": "made-1",
        "Body": "A cook has 3 pans and 9 lids",
        "Question": "How many more lids than pans are there?",
        "Equation": "( 9.0 - 3.0 )",
        "Answer": "6.0",
        "Type": "Subtraction",
    },
    "math500": {
        "problem": "Write $x^2-1$ as a product.",
        "solution": r"It is $\boxed{(x-1)(x+1)}$.",
        "answer": "(x-1)(x+1)",
        "subject": "Algebra",
        "level": 1,
        "unique_id": "made/1.json",
    },
    "minerva": {"question": "How many electrons are in the bucket?", "answer": "4.5e33"},
    "aime24": {"id": 1, "problem": "Find $70+3$.", "solution": "", "answer": "073", "year": "2024"},
    "aime25": {"problem": "Find $70+4$.", "answer": "74", "id": "0"},
    "amc23": {"id": 0, "question": "Find $20+7$.", "answer": 27.0, "url": ""},
    "gpqa_diamond": GPQA,
    "olympiadbench": {
        "id": 1,
        "context": "Call a number fine if its square is 9.",
        "question": "Find all fine numbers.",
        "final_answer": ["$3$", "$-3$"],
        "is_multiple_answer": True,
    },
}
"""A question of each task."""
ANSWERS = {
    "gsm8k": (r"So \boxed{7.00}", "#### 8", "7"),
    "svamp": ("The answer is 6.", r"\boxed{9}", "6"),
    "math500": (r"\boxed{x^2-1}", r"\boxed{x^2+1}", "x^2-1"),
    "minerva": (r"\boxed{4.5 \times 10^{33}}", r"\boxed{4.5}", r"4.5 \times 10^{33}"),
    "aime24": (r"\boxed{73}", r"\boxed{730}", "73"),
    "aime25": (r"\boxed{74}", r"\boxed{73}", "74"),
    "amc23": (r"\boxed{27}", r"\boxed{28}", "27"),
    "olympiadbench": (r"\boxed{-3, 3}", r"\boxed{3}", "-3, 3"),
}
"""A right answer, a wrong one, and what is extracted from the right one."""


def load(folder: Path, name: str, rows: list[dict]):
    """A task on a file with these rows."""
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_task(name, data, None)


def graded(task, doc: dict, text: str) -> tuple[str, float]:
    """What a text's answer is, and its score, as the runner finds them."""
    ((extracted,),) = task._filters[0].filters[0]().apply([[text]], [doc])
    (first,) = task._filters[0].filters[1]().apply([[extracted]], [doc])
    assert first == extracted
    scores = task.process_results(doc, [extracted])
    assert list(scores) == ["exact_match"]
    return extracted, scores["exact_match"]


def test_every_data_set_has_its_task_and_the_other_way_round():
    shipped = {path.stem for path in lm_tasks.OWN_TASKS.glob("*/*.yaml")}
    assert set(DATASETS) <= shipped
    assert set(ROWS) == set(DATASETS)
    of_protocols = {task["task"] for protocol in PROTOCOLS.values() for task in protocol["tasks"]}
    assert of_protocols <= set(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_can_be_tested_on(name):
    data = DATASETS[name]
    assert "test" in data.splits
    assert len(set(data.splits.values())) == len(data.splits), "no split in two roles"
    assert data.licence
    assert data.hub.count("/") == 1


def test_only_gpqa_is_private():
    assert [name for name, data in DATASETS.items() if data.private] == ["gpqa_diamond"]


@pytest.mark.parametrize("name", ROWS)
def test_prompt_has_the_question_and_the_instruction(tmp_path, name):
    row = ROWS[name]
    ((prompt, target),) = questions_of(load(tmp_path, name, [row]))
    for column in ("question", "problem", "context", "Question", "Body"):
        assert row.get(column, "") in prompt
    assert r"\boxed{}" in prompt
    assert "step by step" in prompt
    assert target
    assert "#" not in target
    for column in ("answer", "solution"):
        assert not row.get(column) or str(row[column]) not in prompt


@pytest.mark.parametrize("name", ANSWERS)
def test_right_and_wrong_answers(tmp_path, name):
    task = load(tmp_path, name, [ROWS[name]])
    (doc,) = task.eval_docs
    right, wrong, extracted = ANSWERS[name]
    assert graded(task, doc, right) == (extracted, 1.0)
    assert graded(task, doc, wrong)[1] == 0.0
    assert graded(task, doc, "I do not know.") == ("", 0.0)
    assert graded(task, doc, "") == ("", 0.0)


@pytest.mark.parametrize("name", DATASETS)
def test_config_is_the_same_in_every_process(tmp_path, name):
    """A suite's digest holds it, so no address of a function may stand in it."""
    config = load(tmp_path, name, [ROWS[name]]).dump_config()
    # lm-eval repeats the prompt's functions there, as objects; no example is ever shown.
    del config["fewshot_config"]
    assert " at 0x" not in json.dumps(config, default=str)
    assert "def doc_to_text" in config["doc_to_text"]


def test_real_questions_of_gsm8k(shared_data):
    path = shared_data / "gsm8k" / "test.jsonl"
    task = load_task("gsm8k", path, None)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row, (prompt, target) in zip(rows, questions_of(task), strict=True):
        assert prompt.startswith(row["question"].strip())
        assert target == row["answer"].rpartition("####")[2].strip().replace(",", "")
    (doc, *_) = task.eval_docs
    assert graded(task, doc, rows[0]["answer"])[1] == 1.0
    assert graded(task, doc, rows[1]["answer"])[1] == 0.0


def test_real_questions_of_svamp(shared_data):
    """The published file: a JSON list, its answers numbers."""
    path = shared_data / "svamp" / "SVAMP.json"
    rows = json.loads(path.read_text())
    found = questions_of(load_task("svamp", path, None))
    assert len(found) == len(rows) == 1000
    for row, (prompt, target) in zip(rows, found, strict=True):
        assert row["Body"].strip() in prompt
        assert row["Question"].strip() in prompt
        assert float(target) == row["Answer"]


# --- GPQA ---


def letters(folder: Path, rows: list[dict]) -> list[str]:
    return [target for _, target in questions_of(load(folder, "gpqa_diamond", rows))]


def test_letter_stands_before_the_right_choice(tmp_path):
    rows = [GPQA | {"Question": f"{GPQA['Question']} ({i})"} for i in range(40)]
    task = load(tmp_path, "gpqa_diamond", rows)
    for doc, (prompt, letter) in zip(task.eval_docs, questions_of(task), strict=True):
        choices = [line for line in prompt.splitlines() if line.startswith("(")]
        assert [line[:4] for line in choices] == ["(A) ", "(B) ", "(C) ", "(D) "]
        assert {line[4:] for line in choices} == {
            "the glumon", "the frobon", "the wibblon", "the snarkon"
        }  # fmt: skip
        assert f"({letter}) the glumon" in choices
        assert graded(task, doc, rf"\boxed{{{letter}}}") == (letter, 1.0)
        wrong = "ABCD"["ABCD".index(letter) - 1]
        assert graded(task, doc, f"The answer is ({wrong}).") == (wrong, 0.0)


def test_order_depends_on_the_question_alone(tmp_path):
    """Neither on its place in the file, nor on the process, nor on other columns."""
    rows = [GPQA | {"Question": f"Made up {i}?"} for i in range(6)]
    found = letters(tmp_path, rows)
    assert letters(tmp_path, rows[::-1]) == found[::-1]
    assert letters(tmp_path, [row | {"Subdomain": "other"} for row in rows]) == found
    assert "".join(found) == "AADADA", "as it was from the first version on"


def test_all_letters_are_about_as_often_right(tmp_path):
    rows = [GPQA | {"Question": f"Made up {i}?"} for i in range(400)]
    counts = Counter(letters(tmp_path, rows))
    assert set(counts) == set("ABCD")
    assert all(70 < count < 130 for count in counts.values()), "100, give or take 3.5 errors"


@pytest.mark.parametrize(
    "broken", ["Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 3"]
)
def test_errors_show_no_text_of_gpqa(tmp_path, broken, capfd, caplog):
    task = load(tmp_path, "gpqa_diamond", [GPQA, GPQA | {broken: None}])
    (_, doc) = task.eval_docs
    for ask in (task.doc_to_text, task.doc_to_target, lambda d: task.process_results(d, ["A"])):
        with pytest.raises(EvaluationError) as error:
            ask(doc)
        assert broken in str(error.value)
        assert "\n" not in str(error.value)
        shown = str(error.value) + caplog.text + "".join(capfd.readouterr())
        for text in GPQA.values():
            assert text.strip() not in shown


def test_grading_shows_no_text_of_gpqa(tmp_path, capfd, caplog):
    task = load(tmp_path, "gpqa_diamond", [GPQA])
    (doc,) = task.eval_docs
    questions_of(task)
    graded(task, doc, "the glumon \\boxed{")
    shown = caplog.text + "".join(capfd.readouterr())
    for text in GPQA.values():
        assert text.strip() not in shown
