"""Graders against hand-made answers, and the process that LaTeX is compared in."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from operator import add, mul, sub, truediv

import pytest
from alpharl.evaluation.graders import GRADERS, latex, number
from alpharl.problems.places import last_box
from hypothesis import given
from hypothesis import strategies as st

# --- the table: what a model wrote, what was wanted, whether that is right ---

NUMBERS = [
    (r"So she makes \boxed{18}.", "18", True),
    (r"\boxed{18.0}", "18", True),
    (r"\boxed{18.00}", "18", True),
    (r"\boxed{\$18}", "18", True),
    ("The answer is $18.", "18", True),
    ("The answer is **18**.", "18", True),
    ("She earns 2 + 16 = 18 dollars.\n#### 18", "18", True),
    ("#### $1,018", "1018", True),
    (r"\boxed{1,018}", "1018", True),
    (r"\boxed{1{,}018}", "1018", True),
    (r"\boxed{1\,018}", "1018", True),
    (r"\boxed{10,\!080}", "10080", True),
    (r"\boxed{1,018,000.50}", "1018000.5", True),
    (r"\boxed{-7}", "-7", True),
    (r"\boxed{−7}", "-7", True),
    (r"\boxed{- 7}", "-7", True),
    (r"\boxed{-7}", "7", False),
    (r"\boxed{- 7}", "7", False),
    ("It falls to -$7", "-7", True),
    ("12 - 5 = 7", "7", True),
    ("We are left with 12 - 7", "7", True),
    (r"\boxed{\frac{3}{4}}", "0.75", True),
    (r"\boxed{\dfrac34}", "3/4", True),
    (r"\boxed{-\frac{3}{4}}", "-0.75", True),
    (r"\boxed{3/4}", "6/8", True),
    (r"\boxed{2\frac{1}{2}}", "2.5", True),
    (r"\boxed{2 1/2}", "2.5", True),
    (r"\boxed{0.333}", "1/3", False),
    (r"\boxed{3/0}", "0", False),
    (r"\boxed{.5}", "0.5", True),
    (r"\boxed{50\%}", "50", True),
    (r"\boxed{50\%}", "0.5", False),
    (r"\boxed{90^\circ}", "90", True),
    (r"\boxed{18\text{ dollars}}", "18", True),
    (r"\boxed{\text{18 apples}}", "18", True),
    (r"\boxed{18 \text{ cm}^2}", "18", True),
    (r"\boxed{18 \text{ km/h}}", "18", True),
    (r"\boxed{x = 18}", "18", True),
    (r"\boxed{073}", "73", True),
    (r"First \boxed{3}, but then \boxed{4}", "4", True),
    (r"First \boxed{3}, but then \boxed{4}", "3", False),
    (r"\boxed{\boxed{5}}", "5", True),
    (r"\boxed{5} is my answer; 6 is not.", "5", True),
    (r"\boxed{10\sqrt{2}}", "10", False),
    (r"\boxed{10\sqrt{2}}", "2", False),
    (r"\boxed{2^{10}}", "10", False),
    (r"\boxed{5!}", "5", False),
    (r"\boxed{x - 3}", "3", False),
    (r"\boxed{3/x}", "3", False),
    (r"\boxed{3, 4}", "34", False),
    (r"\boxed{3, 4}", "4", False),
    (r"\boxed{\text{none}}", "0", False),
    (r"It was 7, so \boxed{}", "7", False),
    ("#### Step 2: add 3\nThis makes 7", "7", True),
    ("Answer: 7 of the 12", "7", True),
    ("The answer is 3 + 4 = 7.", "7", True),
    ("The answer is:\n\n7", "7", True),
    ("Tom has 12 apples and Ann has 7.", "7", True),
    ("Tom has 12 apples and Ann has 7.", "12", False),
    ("I do not know.", "0", False),
    ("", "0", False),
    ("7" * 5000, "7", False),
]

LATEX = [
    (r"\boxed{\frac{1}{2}}", r"\frac12", True),
    (r"\boxed{\dfrac{1}{2}}", "0.5", True),
    (r"\boxed{1/2}", r"\frac{1}{2}", True),
    (r"\boxed{\frac13}", "0.33", False),
    (r"\boxed{-\frac{1}{2}}", r"\frac{-1}{2}", True),
    (r"\boxed{−5}", "-5", True),
    (r"\boxed{5}", "-5", False),
    (r"\boxed{10,\!080}", "10080", True),
    (r"\boxed{1{,}018}", "1018", True),
    (r"\boxed{5\sqrt{2}}", r"\sqrt{50}", True),
    (r"\boxed{5\sqrt{2}}", r"\sqrt{52}", False),
    (r"\boxed{(x-1)(x+1)}", "x^2-1", True),
    (r"\boxed{(x-1)^2}", "x^2-1", False),
    (r"\boxed{[-2, 7)}", "[-2,7)", True),
    (r"\boxed{[-2, 7]}", "[-2,7)", False),
    (r"\boxed{(5, \infty)}", r"(5,\infty)", True),
    (r"\boxed{\left(3, \frac{\pi}{2}\right)}", r"(3,\frac{\pi}{2})", True),
    (r"\boxed{(\frac{\pi}{2}, 3)}", r"(3,\frac{\pi}{2})", False),
    (r"\boxed{\{3, 1, 2\}}", r"\{1,2,3\}", True),
    (r"\boxed{\{3, 1\}}", r"\{1,2,3\}", False),
    (r"\boxed{-5, 6}", "6,-5", True),
    (r"\boxed{6}", "6,-5", False),
    (r"\boxed{(3,\infty)\cup(-\infty,2)}", r"(-\infty,2)\cup(3,\infty)", True),
    (r"\boxed{\text{Evelyn}}", "Evelyn", True),
    (r"\boxed{Evelyn}", r"\text{Evelyn}", True),
    (r"\boxed{\text{June 20}}", r"\text{June 20}", True),
    (r"\boxed{\text{odd}}", r"\text{even}", False),
    (r"\boxed{10\%}", r"10\%", True),
    (r"\boxed{10}", r"10\%", True),
    (r"\boxed{\$18.90}", "18.90", True),
    (r"\boxed{90^\circ}", "90", True),
    (r"\boxed{90}", r"90^{\circ}", True),
    (r"\boxed{12\text{ cm}^2}", "12", True),
    (r"\boxed{x = 5}", "5", True),
    (r"\boxed{2x+3}", "y=2x+3", True),
    (r"\boxed{y=3x+2}", "y=2x+3", False),
    (r"\boxed{\begin{pmatrix} 1 \\ 2 \end{pmatrix}}", r"\begin{pmatrix}1\\2\end{pmatrix}", True),
    (r"\boxed{\begin{pmatrix} 2 \\ 1 \end{pmatrix}}", r"\begin{pmatrix}1\\2\end{pmatrix}", False),
    (r"\boxed{-5i + 6}", "6-5i", True),
    (r"\boxed{4.5 \times 10^{33}}", "4.5e33", True),
    (r"\boxed{4.5e33}", r"4.5\times 10^{33}", True),
    (r"\boxed{0.000000056}", "0.000000031", False),
    (r"\boxed{\frac{\sqrt{3}}{\frac{2}{5}}}", r"\frac{5\sqrt3}{2}", True),
    (r"\boxed{1}, no: \boxed{2}", "2", True),
    (r"\boxed{1}, no: \boxed{2}", "1", False),
    (r"\boxed{1} and then \boxed{2", "1", True),
    (r"Final Answer: The final answer is $\sqrt{50}$. I hope it is correct.", r"5\sqrt2", True),
    ("The answer is 12.", "12", True),
    (r"Hence $x^2$, that is \(y + 1\)", "1+y", True),
    ("All in all 12", "12", True),
    (r"\boxed{\frac{1}{}}", "1", False),
    (r"\boxed{\frac{1}{0}}", "1", False),
    (r"\boxed{}", "0", False),
    ("I do not know.", "0", False),
    ("", "0", False),
]

CHOICES = [
    (r"\boxed{C}", "C", True),
    (r"\boxed{C}", "B", False),
    (r"\boxed{\text{C}}", "C", True),
    (r"\boxed{\textbf{(C)}}", "C", True),
    (r"\boxed{(C)}", "C", True),
    (r"\boxed{ C. }", "C", True),
    (r"\boxed{C) 5 m/s}", "C", True),
    (r"\boxed{C. The group A}", "C", True),
    (r"\boxed{A, C}", "A", False),
    (r"\boxed{A, C}", "C", False),
    (r"\boxed{42}", "A", False),
    (r"\boxed{}", "A", False),
    (r"\boxed{A}, no: \boxed{B}", "B", True),
    (r"\boxed{A}, no: \boxed{B}", "A", False),
    (r"\boxed{B} rather than (C)", "B", True),
    ("The answer is C.", "C", True),
    ("The answer is (C).", "C", True),
    ("The answer is **C**", "C", True),
    ("the correct answer is A", "A", True),
    ("Answer: D", "D", True),
    ("**Answer:** (D) since A is false", "D", True),
    ("ANSWER: B", "B", True),
    ("I rule out (A) and (B), so it must be (C)", "C", True),
    ("I rule out (A) and (B), so it must be (C)", "A", False),
    ("So it must be C", "C", True),
    ("C", "C", True),
    ("It is B. A simple check confirms this", "B", True),
    ("It is B. A simple check confirms this", "A", False),
    ("It is B, by the C-H bond", "B", True),
    ("It is B, as in DNA", "B", True),
    ("it is b", "B", False),
    ("E", "E", False),
    ("Answer: none of them", "A", False),
    ("I do not know.", "A", False),
    ("", "A", False),
]

TABLE = [
    pytest.param(kind, *row, id=f"{kind}-{place}")
    for kind, rows in {"number": NUMBERS, "latex": LATEX, "choice": CHOICES}.items()
    for place, row in enumerate(rows)
]


@pytest.mark.parametrize(("kind", "text", "target", "right"), TABLE)
def test_table_of_answers(kind, text, target, right):
    grader = GRADERS[kind]
    extracted = grader.extract(text)
    assert grader.is_correct(extracted, target) is right, f"extracted {extracted!r}"


def test_the_table_is_worth_its_name():
    for rows in (NUMBERS, LATEX, CHOICES):
        rights = [right for _, _, right in rows]
        assert len(rows) >= 25
        assert min(rights.count(True), rights.count(False)) >= 8


@pytest.mark.parametrize("kind", GRADERS)
@given(text=st.text(alphabet=st.sampled_from("ABx1290.,/-^$\\{}()[]:=# \nis answer\\boxed{")))
def test_no_text_raises_and_no_answer_is_never_right(kind, text):
    grader = GRADERS[kind]
    extracted = grader.extract(text)
    assert isinstance(extracted, str)
    assert grader.is_correct("", "") is False
    if kind != "latex":
        assert grader.is_correct(extracted, extracted) is (extracted != "")


@pytest.mark.parametrize("kind", GRADERS)
@pytest.mark.parametrize("piece", [r"\boxed{", "1", "1,", " ", "$", r"\(", "(A", "answer is", "-"])
def test_long_repetitions_are_read_in_linear_time(kind, piece):
    """Models get stuck on one token; no search may then take quadratic time."""
    started = time.monotonic()
    GRADERS[kind].extract(piece * 100_000)
    assert time.monotonic() - started < 10


def test_equal_numbers_are_extracted_alike():
    """Votes are counted on what was extracted."""
    texts = [r"\boxed{18}", r"\boxed{18.00}", "#### 18", "The answer is $18.", r"\boxed{\$18.0}"]
    assert {number.extract(text) for text in texts} == {"18"}
    assert number.extract(r"\boxed{0.75}") == number.extract(r"\boxed{\frac{6}{8}}") == "3/4"


def test_spellings_of_an_expression_are_extracted_alike():
    texts = [r"\boxed{\left( 1,  \dfrac{1}{2} \right)}", r"is $( 1, \frac{1}{2} )$ the answer"]
    assert {latex.extract(text) for text in texts} == {r"( 1, \frac{1}{2} )"}


def test_box_with_nested_and_escaped_braces():
    assert last_box(r"\boxed{\{a, \frac{b}{c}\}} and } more") == r"\{a, \frac{b}{c}\}"
    assert last_box(r"\boxed {1} \fbox{text}") == "1"
    assert last_box(r"\boxed{1") is None
    assert last_box("") is None


# --- real solutions ---


@pytest.mark.parametrize(("split", "count"), [("train", 7473), ("test", 1319)])
def test_every_gold_solution_is_right_and_only_for_its_own_number(shared_data, split, count):
    counted = 0
    for line in (shared_data / "gsm8k" / f"{split}.jsonl").read_text().splitlines():
        solution = json.loads(line)["answer"]
        target = solution.rpartition("####")[2].strip()
        extracted = number.extract(solution)
        assert number.is_correct(extracted, target)
        other = int(target.replace(",", "")) + 1
        assert not number.is_correct(extracted, str(other))
        boxed = number.extract(rf"{solution} So \boxed{{{other}}}")
        assert number.is_correct(boxed, str(other)), "a box goes before ####"
        counted += 1
    assert counted == count


def test_every_published_sum_is_right(shared_data):
    """SVAMP gives the equation of each answer; those of one operation are worked out here."""
    counted = 0
    for row in json.loads((shared_data / "svamp" / "SVAMP.json").read_text()):
        parts = row["Equation"].strip("() ").split()
        if len(parts) == 3:
            left, right = Fraction(parts[0]), Fraction(parts[2])
            operate = {"+": add, "-": sub, "*": mul, "/": truediv}[parts[1]]
            value = number.extract(rf"\boxed{{{operate(left, right)}}}")
            assert number.is_correct(value, str(row["Answer"])), row["ID"]
            assert not number.is_correct(value, str(row["Answer"] + 1)), row["ID"]
            counted += 1
    assert counted > 700
