"""Problems: splits that share nothing, a grader, and the examples a base is taught from."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice

import pytest
from alpharl.errors import EvaluationError
from alpharl.problems import TAUGHT, Question, get_problem
from alpharl.training.spec import PretrainSpec
from pydantic import ValidationError

SPLITS = ("train", "validation", "test")
addition = TAUGHT["addition"]
QUESTION = Question(id="07+45", prompt="07+45=", answer="052")


def operands(prompt: str) -> tuple[int, int]:
    left, right = prompt.removesuffix("=").split("+")
    return int(left), int(right)


def test_splits_are_disjoint_and_complete() -> None:
    prompts = [q["prompt"] for split in SPLITS for q in addition.questions(split)]
    assert len(prompts) == len(set(prompts)) == 10_000
    assert {operands(prompt) for prompt in prompts} == {
        (a, b) for a in range(100) for b in range(100)
    }


def test_held_out_sums_are_never_trained_in_the_other_order() -> None:
    sums = [{tuple(sorted(operands(q["prompt"]))) for q in addition.questions(s)} for s in SPLITS]
    assert not (sums[0] & sums[1] or sums[0] & sums[2] or sums[1] & sums[2])


def test_a_tenth_is_held_out_half_of_it_for_the_test() -> None:
    sizes = [len(addition.questions(split)) for split in SPLITS]
    assert sizes == [9025, 484, 491]  # fixed: a change of split makes old scores incomparable


def test_answers_are_right_and_three_digits() -> None:
    for question in addition.questions("train"):
        assert len(question["answer"]) == 3
        assert int(question["answer"]) == sum(operands(question["prompt"]))
        assert question["id"] + "=" == question["prompt"]


def test_the_first_questions_are_a_fair_sample() -> None:
    questions = addition.questions("train")
    assert questions == addition.questions("train")
    sums = [sum(operands(q["prompt"])) for q in questions]
    # 500 draws of a sum with standard deviation 41: the mean's is 1.8.
    assert sum(sums[:500]) / 500 == pytest.approx(sum(sums) / len(sums), abs=6)


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("052", "052"),
        (">250=052", "052"),
        (" 052 \n", "052"),
        ("=1=2", "2"),
        ("052=", ""),
        ("", ""),
    ],
)
def test_extract(completion: str, answer: str) -> None:
    assert addition.extract(completion, QUESTION) == answer


def test_grader_compares_as_text() -> None:
    def right(completion: str) -> bool:
        return addition.is_correct(addition.extract(completion, QUESTION), QUESTION)

    assert right(">250=052") and right("052")
    assert not any(map(right, ("52", ">052", "052=250")))


def test_a_limit_takes_the_first_questions() -> None:
    assert addition.questions("test", 7) == addition.questions("test")[:7]


def test_problems_are_found_by_name() -> None:
    assert get_problem("addition") is addition
    with pytest.raises(EvaluationError, match="unknown problem 'adition', did you mean 'addition'"):
        get_problem("adition")
    with pytest.raises(EvaluationError, match="found options \\['digits'\\], but it takes none"):
        get_problem("addition", {"digits": 3})


def test_examples_keep_their_shares() -> None:
    answers = {q["prompt"]: q["answer"] for q in addition.questions("train")}
    examples = list(islice(addition.examples(0, direct_share=0.7, corrupted_share=0.6), 5000))
    direct = [e for e in examples if not e["completion"].startswith(">")]
    wrong = [e for e in direct if e["completion"] != answers[e["prompt"]]]
    assert len(direct) / 5000 == pytest.approx(0.7, abs=0.03)
    assert len(wrong) / len(direct) == pytest.approx(0.6, abs=0.03)
    assert all(len(e["completion"]) == 3 and int(e["completion"]) < 199 for e in direct)


def test_scratchpads_are_right_and_fit_the_token_limit() -> None:
    answers = {q["prompt"]: q["answer"] for q in addition.questions("train")}
    for example in islice(addition.examples(0, direct_share=0.0, corrupted_share=0.0), 500):
        answer = answers[example["prompt"]]  # a KeyError would be a question from another split
        assert example["completion"] == f">{answer[::-1]}={answer}"
        assert len(example["completion"]) + 1 == addition.max_new_tokens


def test_examples_follow_their_seed() -> None:
    def first(seed: int) -> list[str]:
        return [e["completion"] for e in islice(addition.examples(seed, 0.7, 0.6), 50)]

    assert first(1) == first(1) != first(2)


def test_bases_are_taught_registered_problems() -> None:
    assert [PretrainSpec(problem=name).problem for name in TAUGHT] == [*TAUGHT]
    with pytest.raises(ValidationError, match="Input should be 'addition'"):
        PretrainSpec(problem="rg-products")


def test_problems_and_recipes_need_no_torch() -> None:
    code = (
        "import sys, alpharl.problems, alpharl.training.spec;"
        "sys.exit(bool({'torch', 'transformers', 'numpy', 'reasoning_gym'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
