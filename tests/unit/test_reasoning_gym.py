"""Generated problems of reasoning-gym: splits, grading, refusals, and their lm-eval task."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from alpharl.errors import EvaluationError
from alpharl.evaluation.lm_tasks import load_task
from alpharl.evaluation.settings import Suite
from alpharl.evaluation.suites import read_suite, write_suite
from alpharl.problems import Question, get_problem
from alpharl.problems.extraction import extract_answer, is_number
from alpharl.problems.reasoning_gym import PREFIX, UNFIT, generators
from lm_eval.api.instance import Instance

SPLITS = ("train", "validation", "test")
SOME = ["products", "gcd", "letter_counting", "chain_sum", "number_sorting", "spiral_matrix",
        "prime_factorization", "gsm_symbolic", "word_sorting", "n_queens", "emoji_mystery",
        "sentence_reordering"]  # fmt: skip
"""Answers that are numbers, lists, matrices, boards, words and sentences."""


def first(generator: str, split: str = "test", limit: int = 12, **options: object) -> list:
    return get_problem(PREFIX + generator, options).questions(split, limit)


# --- questions ---


@pytest.mark.parametrize("options", [{}, {"max_digits": 1, "max_terms": 2}, {"seed": 5}])
def test_splits_share_no_question_whatever_the_options(options):
    plain = get_problem("rg-products")
    other = get_problem("rg-products", options)
    for split in SPLITS:
        here = {q["prompt"] for q in plain.questions(split)}
        for another in set(SPLITS) - {split}:
            assert not here & {q["prompt"] for q in other.questions(another)}


def test_questions_of_a_split_are_distinct_and_capped():
    for split in SPLITS:
        prompts = [q["prompt"] for q in first("products", split, 9999)]
        assert len(prompts) == len(set(prompts)) <= 2000
        assert len(prompts) > 1900


def test_a_small_space_of_questions_is_used_up():
    """Ordered pairs of digits 1 to 9, and of 0 with them: 100 at most, in three splits."""
    sizes = [len(first("products", split, 2000, max_digits=1, max_terms=2)) for split in SPLITS]
    assert 81 <= sum(sizes) <= 100
    assert min(sizes) > 10


def test_the_first_questions_are_those_of_a_smaller_limit():
    assert first("gcd", limit=5) == first("gcd", limit=30)[:5]


def test_questions_are_the_same_in_every_process():
    code = (
        "import json, sys; from alpharl.problems import get_problem\n"
        f"print(json.dumps([get_problem('rg-' + g).questions('test', 5) for g in {SOME}]))"
    )
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
        )  # fmt: skip
        assert json.loads(done.stdout) == [first(generator, limit=5) for generator in SOME]


def test_options_change_questions():
    assert first("gcd") != first("gcd", max_value=20)
    assert first("gcd") != first("gcd", seed=1)
    for question in first("gcd", max_value=20):
        assert 1 <= int(question["answer"]) <= 20


# --- grading ---


@pytest.mark.parametrize("generator", SOME)
def test_right_and_wrong_answers(generator):
    problem = get_problem(PREFIX + generator)
    for question in first(generator):
        right = f"Let me think. 77 is not it.\n<answer>\n{question['answer']}\n</answer> Done."
        assert problem.is_correct(problem.extract(right, question), question)
        for wrong in ("<answer>-98765</answer>", "banana", "", "<answer></answer>"):
            assert not problem.is_correct(problem.extract(wrong, question), question)


def test_other_right_answers_count_and_partial_credit_does_not():
    question = dict(first("countdown", limit=1)[0])
    entry = json.loads(question["entry"])
    problem = get_problem("rg-countdown")
    assert problem.is_correct(f"({question['answer']})", question), "the value decides"
    assert not problem.is_correct("1 + 1", question)
    assert not problem.is_correct(str(entry["metadata"]["target"]), question), "not its numbers"


@pytest.mark.parametrize("generator", ["countdown", "puzzle24", "spiral_matrix", "n_queens"])
def test_an_answer_is_never_run_as_code(generator, tmp_path):
    """Their graders call eval on it."""
    trap = tmp_path / "trap"
    question = first(generator, limit=1)[0]
    problem = get_problem(PREFIX + generator)
    for code in (f"__import__('pathlib').Path({str(trap)!r}).touch()", "exit()", "9**9**9**9"):
        assert not problem.is_correct(code, question)
    assert not trap.exists()


def test_what_makes_a_generator_unfit():
    """The library's own graders on its own answers: if these pass, the refusals are outdated."""
    import reasoning_gym

    for name in ("boxnet", "graph_color", "propositional_logic", "rush_hour"):
        made = reasoning_gym.create_dataset(name, seed=0, size=5)
        assert all(made.score_answer(str(e["answer"]), e) < 1 for e in map(made.__getitem__, [0]))
    halting = reasoning_gym.create_dataset("game_of_life_halting", seed=0, size=5)
    assert max(halting.score_answer("banana", halting[i]) for i in range(3)) == 1


@pytest.mark.parametrize(
    ("completion", "numeric", "answer"),
    [
        (r"so \boxed{42}, I think. 7", True, "42"),
        (r"\boxed{1} then \boxed{\text{Yes}}", False, "Yes"),
        (r"\boxed{\frac{1}{2}}", False, r"\frac{1}{2}"),
        (r"\boxed{1,234}", True, "1234"),
        (r"unclosed \boxed{3 and the answer is 4", True, "4"),
        ("<answer>1 2\n3 4</answer> 9", False, "1 2\n3 4"),
        ("<answer>5</answer> no, <answer> 6 </answer>", True, "6"),
        ("<answer>8", True, "8"),
        ("The answer is 12.", True, "12"),
        ("The answer is **12 apples**. I used 3 steps", True, "12"),
        ("Answer: 2 + 3 = 5", True, "5"),
        ("Answer: a cat.", False, "a cat"),
        ("The final answer is: -3.50\nBye 4", True, "-3.50"),
        ("3 + 4 = 7", True, "7"),
        ("5-3", True, "3"),
        ("it is −3", True, "-3"),
        ("no digit", True, ""),
        ("think\n\n  cat \n", False, "cat"),
        ("Mr. Smith.", False, "Mr. Smith."),
        ("", False, ""),
    ],
)
def test_extraction(completion, numeric, answer):
    assert extract_answer(completion, numeric) == answer


def test_numbers():
    assert all(map(is_number, ("0", "-12", "3.50")))
    assert not any(map(is_number, ("", "1,234", "1 2", "1/2", "x", "12 ")))


# --- names ---


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rg-product", {}, "unknown generator 'rg-product', did you mean 'rg-products'?"),
        ("rg-gcd", {"max_valu": 3}, "rg-gcd: unknown option 'max_valu', did you mean 'max_value'?"),
        ("rg-gcd", {"size": 3}, "unknown option 'size'"),
        ("rg-gcd", {"max_value": -3}, 'rg-gcd: options {"max_value": -3} are refused'),
        ("rg-gcd", {"max_value": "x"}, "are refused"),
        ("rg-simple_integration", {}, "its grader runs the answer as Python code"),
    ],
)
def test_unknown_names_are_one_line(name, options, message):
    with pytest.raises(EvaluationError) as error:
        get_problem(name, options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_generators_are_listed(cli):
    listed = cli("tasks", "--generators").out.split()
    assert listed == [PREFIX + name for name in generators()]
    assert "rg-products" in listed
    told = json.loads(cli("tasks", "--generators", "--json").out)
    assert told == {"tasks": [], "generators": listed}
    assert not set(listed) & {PREFIX + name for name in UNFIT}


# --- the lm-eval task ---


def test_one_task_file_serves_all_generators(tmp_path):
    tasks = [
        {"task": "rg-products", "split": "test", "limit": 4},
        {"task": "rg-products", "split": "test", "limit": 4, "options": {"max_digits": 2}},
        {"task": "rg-letter_counting", "split": "test", "limit": 3},
    ]
    suite = Suite.model_validate({"role": "test", "tasks": tasks})
    write_suite("s", suite, tmp_path / "suite.json")
    files = read_suite(tmp_path / "suite.json")
    assert len({entry["data"] for entry in files.tasks}) == 3, "options are part of the name"
    for entry, asked in zip(files.tasks, tasks, strict=True):
        task = load_task(entry["task"], tmp_path / entry["data"], None)
        docs = list(task.eval_docs)
        assert len(docs) == asked["limit"] == len(entry["questions"])
        for doc in docs:
            assert graded(task, doc, f"<answer>{doc['answer']}") == {"exact_match": 1.0}
            assert graded(task, doc, f"I say {doc['answer']}") == {"exact_match": 1.0}
            assert graded(task, doc, "<answer>-1") == {"exact_match": 0.0}


def graded(task, doc: Question, completion: str) -> dict[str, float]:
    """What the task's first filter and its grader make of a completion."""
    instance = Instance("generate_until", doc, ("", {}), 0)
    instance.resps = [completion]
    task._filters[0].apply([instance])
    return task.process_results(doc, [instance.filtered_resps[task._filters[0].name]])


def test_a_generated_task_needs_a_split(tmp_path):
    suite = Suite.model_validate({"role": "test", "tasks": [{"task": "rg-gcd"}]})
    with pytest.raises(EvaluationError, match="task 'rg-gcd' lacks 'split'"):
        write_suite("s", suite, tmp_path / "suite.json")
