"""What runs are asked: as evaluation asks it, graded as evaluation grades it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from alpharl.errors import EvaluationError, StudyError
from alpharl.evaluation.datasets import DATASETS
from alpharl.evaluation.fetching import fetch
from alpharl.evaluation.questions import read_questions
from alpharl.evaluation.settings import Suite, Task
from alpharl.evaluation.suites import read_suite, write_suite
from alpharl.evaluation.training_questions import DataQuestions
from alpharl.problems import PROBLEMS
from alpharl.study.data_files import data_file
from alpharl.training.questions import ProblemQuestions, ask
from alpharl.training.spec import TrainSpec
from alpharl.training.tokenizer import character_tokenizer

addition = PROBLEMS["addition"]
CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
ROWS = [
    {"question": f"Tom has {a} eggs and buys {b}. How many?", "answer": f"{a}+{b}\n#### {a + b}"}
    for a, b in [(1, 2), (3, 4), (5, 6), (7, 8)]
]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder with a tokenizer that has a chat template."""
    tokenizer = character_tokenizer()
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def gsm8k(folder: Path) -> tuple[Task, Path]:
    """A GSM8K-like file of four questions, fetched."""
    source = folder / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    task = Task(task="gsm8k", split="validation", data=str(source))
    fetch(task, DATASETS, folder / "data" / data_file(task))
    return task, folder / "data" / data_file(task)


def asked_by_suite(base: Path, folder: Path, task: Task, **settings: Any) -> list[tuple[int, ...]]:
    """Prompts in tokens as a suite asks them."""
    suite = Suite(role="validation", tasks=[task], max_new_tokens=9, **settings)
    write_suite("s", suite, folder / "suite.json", folder / "data")
    (read,) = read_questions(read_suite(folder / "suite.json"), base)
    return read.tokens


@pytest.mark.parametrize("chat", [False, True])
def test_data_questions_are_asked_as_in_a_suite(base: Path, tmp_path: Path, chat: bool) -> None:
    task, data = gsm8k(tmp_path)
    settings = {"chat_template": True, "system": "be brief"} if chat else {}
    spec = TrainSpec(problem="gsm8k", data=task.data, **settings)  # type: ignore[arg-type]
    tokenizer = character_tokenizer()
    tokenizer.chat_template = CHAT
    asking = ask(spec, DataQuestions("gsm8k", data, set()), tokenizer)
    scored = asked_by_suite(base, tmp_path, task, **settings)
    assert [tuple(asking.ids(place)) for place in range(4)] == scored


@pytest.mark.parametrize("chat", [False, True])
def test_problem_questions_are_asked_as_in_a_suite(base: Path, tmp_path: Path, chat: bool) -> None:
    questions = ProblemQuestions("addition", {})
    task = Task(task="addition", split="validation", limit=3)
    scored = asked_by_suite(base, tmp_path, task, chat_template=chat)
    tokenizer = character_tokenizer()
    tokenizer.chat_template = CHAT
    asking = ask(TrainSpec(chat_template=chat), questions, tokenizer)
    texts = [q["prompt"] for q in addition.questions("validation", 3)]
    asking.questions.texts[:3] = texts  # type: ignore[index]
    assert [tuple(asking.ids(place)) for place in range(3)] == scored


def test_data_questions_reward_right_answers(tmp_path: Path) -> None:
    _, data = gsm8k(tmp_path)
    questions = DataQuestions("gsm8k", data, set())
    given = ["It is 3.", "The answer is 8", "so #### 11", ""]
    assert questions.right([0, 1, 2, 3], given) == [True, False, True, False]
    assert questions.solution(1) == "3+4\n#### 7"
    assert questions.right([3, 0], [questions.solution(3), questions.solution(0)]) == [True, True]


def test_scored_questions_are_left_out(base: Path, tmp_path: Path) -> None:
    task, data = gsm8k(tmp_path)
    suite = Suite(role="validation", tasks=[task.model_copy(update={"limit": 3})])
    write_suite("s", suite, tmp_path / "suite.json", tmp_path / "data")
    scored = set(read_suite(tmp_path / "suite.json").questions)
    questions = DataQuestions("gsm8k", data, scored)
    assert len(questions.texts) == 1 and "7 eggs" in questions.texts[0]
    write_suite("s", suite.model_copy(update={"tasks": [task]}), tmp_path / "suite.json",
                tmp_path / "data")  # fmt: skip
    with pytest.raises(EvaluationError, match="found 4 questions, all of them in"):
        DataQuestions("gsm8k", data, set(read_suite(tmp_path / "suite.json").questions))


@pytest.mark.parametrize("name", ["addition", "rg-products", "rg-gcd"])
def test_solutions_are_right(name: str) -> None:
    if name.startswith("rg-"):
        pytest.importorskip("reasoning_gym")
    questions = ProblemQuestions(name, {})
    places = list(range(0, len(questions.texts), 97))
    assert all(questions.right(places, [questions.solution(place) for place in places]))
    assert not any(questions.right(places, ["?" for _ in places]))


def test_training_questions_are_in_no_suite() -> None:
    texts = set(ProblemQuestions("addition", {}).texts)
    for split in ("validation", "test"):
        assert not texts & {q["prompt"] for q in addition.questions(split)}


def test_rewards_read_chats_and_texts() -> None:
    asking = ask(TrainSpec(), ProblemQuestions("addition", {}), character_tokenizer())
    right = asking.questions.solution(5)
    answers: list[Any] = [right, [{"role": "assistant", "content": right}], "no"]
    assert asking.rewards([5, 5, 5], answers) == [1.0, 1.0, 0.0]


def test_a_chat_needs_a_template() -> None:
    with pytest.raises(StudyError, match="found no chat template"):
        ask(TrainSpec(chat_template=True), ProblemQuestions("addition", {}), character_tokenizer())


def test_questions_come_again_in_another_order() -> None:
    asking = ask(TrainSpec(), ProblemQuestions("addition", {}), character_tokenizer())
    n = len(asking.questions.texts)
    drawn = asking.draw(0, 2 * n)
    assert sorted(drawn[:n]) == sorted(drawn[n:]) == list(range(n))
    assert drawn[:n] != drawn[n:] and drawn == asking.draw(0, 2 * n) != asking.draw(1, 2 * n)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"algorithm": "distill"}, "no teacher"),
        ({"algorithm": "grpo", "teacher": "x"}, "learns from none"),
        ({"algorithm": "sft", "entropy": {}}, "no RL with advantages"),
        ({"algorithm": "es", "optimizer": "sgd"}, "has no optimizer"),
        ({"algorithm": "es", "lora": {}}, "moves all weights"),
        ({"algorithm": "random-walk", "processes": 2}, "runs in one"),
        ({"entropy": {"low": [0.5, 0.5], "high": [0.4, 0.6]}}, "low below high"),
        ({"system": "be kind"}, "goes with 'chat_template"),
    ],
)
def test_recipes_that_contradict_themselves_are_refused(
    recipe: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TrainSpec.model_validate(recipe)
