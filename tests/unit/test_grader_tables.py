"""Graders on tables of answers as models write them, right ones and wrong ones: `graders/*.txt`."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import pytest
from alpharl.evaluation.graders import choice, latex, number
from alpharl.problems.extraction import extract_answer, is_number

FOLDER = Path(__file__).with_name("graders")
LETTERS = "ABCD"


def read(name: str) -> dict[str, list[list[str]]]:
    """Rows of a table under the headings that they stand under; the first heading says its form."""
    sections: dict[str, list[list[str]]] = {}
    for line in (FOLDER / f"{name}.txt").read_text().splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line:
            cells = [cell.replace("⏎", "\n") for cell in line.split(" ¦ ")]
            sections.setdefault(heading, []).append(cells)
    return sections


def by_section(name: str):
    sections = read(name)
    return pytest.mark.parametrize("rows", sections.values(), ids=sections)


def misgraded(grader, rows: list[list[str]]) -> list[str]:
    """Rows that a grader reads otherwise than the table says."""
    wrong = []
    for text, target, verdict in rows:
        assert verdict in ("right", "wrong", "none")
        extracted = grader.extract(text)
        right = grader.is_correct(extracted, target)
        if right is not (verdict == "right") or (verdict == "none" and extracted):
            wrong.append(f"{text!r} gives {extracted!r}, which is {right} for {target!r}")
    return wrong


@by_section("number")
def test_numbers(rows):
    assert misgraded(number, rows) == []


@by_section("latex")
def test_expressions(rows):
    assert misgraded(latex, rows) == []
    assert latex.timeouts() == 0


@by_section("choice")
def test_choices(rows):
    for text, letter in rows:
        extracted = choice.extract(text)
        assert extracted == letter.removeprefix("none"), text
        right = [other for other in LETTERS if choice.is_correct(extracted, other)]
        assert right == [other for other in LETTERS if other == letter], text


@by_section("extraction")
def test_answers_of_problems(rows):
    for completion, answer in rows:
        wanted = answer.removeprefix("(none)")
        assert extract_answer(completion, numeric=False) == wanted, completion


@by_section("number")
def test_numeric_answers_of_problems(rows):
    """What the grader reads, in digits, since the graders of reasoning-gym compare text."""
    for text, target, verdict in rows:
        answer = extract_answer(text, numeric=True)
        if verdict == "none":
            assert answer == "", text
        elif is_number(answer):
            exact, dozens = Fraction(answer), "dozen" in text
            assert (exact == Fraction(target)) is (verdict == "right") or dozens, text
        else:
            assert "/" in answer or verdict == "wrong", f"{text}: a fraction that decimals end"


@pytest.mark.parametrize("name", ["number", "latex"])
def test_tables_hold_as_much_that_is_wrong(name):
    verdicts = [row[-1] for rows in read(name).values() for row in rows]
    assert len(verdicts) >= 300
    assert 0.4 < 1 - verdicts.count("right") / len(verdicts) < 0.6


def test_digits_stay_as_they_are_written():
    texts = ["-3.50", "1,234.50", "007", "1 234", "2½", "1e-3", r"\frac{1}{3}"]
    answers = ["-3.50", "1234.50", "007", "1234", "2.5", "0.001", "1/3"]
    assert [extract_answer(text, numeric=True) for text in texts] == answers


LONG = 30_000
HOSTILE = [
    "1" * LONG, "1," * LONG, "1 " * LONG, "1_" * LONG, "1^" * LONG, "1/" * LONG, "½" * LONG,
    "one " * LONG, "(A) " * LONG, "<think>" * LONG, "</think>" * LONG, "\nQ: 1" * LONG,
    "\nQ:" * LONG, "\n" * LONG, "```python\n" * LONG, "<|im_end|>" * LONG, "answer is 5 " * LONG,
    "answer to " * LONG, "<answer>" * LONG, r"\boxed{}" * LONG, r"\boxed{1}, " * LONG,
    r"\boxed{" * LONG + "1" + "}" * LONG, r"\boxed{" + " " * LONG + "1}", r"\frac{" * LONG,
    "####" * LONG, "$ " * LONG, r"\text{" * LONG, "[THINK]" * LONG, "[/THINK]" * LONG,
    "<|channel|>" * LONG, "<|channel|>analysis" * LONG, "<|ab" * LONG, "\nuser\n" * LONG,
    "<｜User｜>" * LONG, "<|pad_token|>" * LONG, r"\color{" * LONG, "|8" * LONG, "-(" * LONG,
    "18 of " * LONG, "2(" * LONG, "18, 000" * LONG, "0." + "3" * LONG + "...",
]  # fmt: skip
"""Models get stuck on a token. No search may then take quadratic time."""


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:10]))
def test_long_repetitions_take_linear_time(text):
    started = time.process_time()
    for grader in (number, latex, choice):
        grader.is_correct(grader.extract(text), "1")
    for numeric in (True, False):
        extract_answer(text, numeric)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "text", ["10^10^10", "1e999999999", "9^{999999999}", "9" * 10**6, "2^" * 1000 + "2", "1/1e-999"]
)
def test_no_power_is_worked_out_that_does_not_fit(text):
    started = time.process_time()
    assert number.extract(rf"\boxed{{{text}}}") == ""
    assert number.extract(f"The answer is {text}") == ""
    assert time.process_time() - started < 5
