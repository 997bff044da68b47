"""Accuracy, avg@k, pass@k and maj@k against enumeration, the published formula and a bootstrap."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter

import numpy as np
import pytest
from alpharl.evaluation.statistics import Graded, accuracy, per_task, summarize
from hypothesis import given
from hypothesis import strategies as st

ANSWERS = ("", "1", "2", "3")


def samples_of(answers: str, right: str) -> list[Graded]:
    """One question: an answer per letter, `-` being empty; those in `right` are graded 1."""
    return [
        Graded(float(one in right), one.strip("-"), truncated=one == "-", tokens=3 + i)
        for i, one in enumerate(answers)
    ]


def graded(questions: int, samples: int, seed: int = 0) -> list[list[Graded]]:
    """Questions of different difficulty; the answer "1" is the right one."""
    rng = np.random.default_rng(seed)
    found = []
    for hardness in rng.random(questions):
        rest = (1 - hardness) / 3
        drawn = rng.choice(ANSWERS, samples, p=[rest, hardness, rest, rest])
        found.append([Graded(float(a == "1"), str(a), a == "", len(a)) for a in drawn])
    return found


@given(
    st.integers(1, 6).flatmap(
        lambda s: st.lists(st.lists(st.booleans(), min_size=s, max_size=s), min_size=1, max_size=5)
    )
)
def test_pass_at_k_is_the_share_of_draws_that_hold_a_right_answer(right):
    found = summarize([[Graded(float(r), str(r), False, 1) for r in row] for row in right])
    samples = len(right[0])
    assert list(found["pass_at"]) == [str(k) for k in (1, 2, 3, 4, 5, 6) if k in (1, 2, 4, samples)
                                      and k <= samples]  # fmt: skip
    for k, value in found["pass_at"].items():
        draws = [[any(d) for d in itertools.combinations(row, int(k))] for row in right]
        assert value == pytest.approx(np.mean([np.mean(of_question) for of_question in draws]))


def test_pass_at_k_follows_the_published_formula_at_many_samples():
    counts, samples = [0, 1, 17, 199, 200], 200
    rows = [[Graded(float(i < c), "", False, 1) for i in range(samples)] for c in counts]
    found = summarize(rows)
    assert list(found["pass_at"]) == [str(k) for k in (1, 2, 4, 8, 16, 32, 64, 128, 200)]
    for k in (1, 8, 128, 200):
        # Chen et al. 2021: 1 - C(n-c, k) / C(n, k).
        each = [1 - math.comb(samples - c, k) / math.comb(samples, k) for c in counts]
        assert found["pass_at"][str(k)] == pytest.approx(np.mean(each), abs=1e-11)
        error = np.std(each, ddof=1) / math.sqrt(len(each))
        assert found["pass_at_stderr"][str(k)] == pytest.approx(error)


def test_pass_at_k_has_no_bias():
    """Mean over repeats with 6 samples against 1 - (1 - p)^4, which is pass@4 by definition."""
    rng = np.random.default_rng(3)
    chances = np.array([0.05, 0.3, 0.7])
    repeats = [
        summarize([[Graded(float(r), "", False, 1) for r in row] for row in right])["pass_at"]["4"]
        for right in rng.random((3000, 3, 6)) < chances[None, :, None]
    ]
    error = np.std(repeats) / math.sqrt(len(repeats))
    assert abs(np.mean(repeats) - np.mean(1 - (1 - chances) ** 4)) < 4 * error


@pytest.mark.parametrize(
    ("answers", "right", "expected"),
    [
        ("aab", "a", 1.0),
        ("abb", "a", 0.0),
        ("ab", "a", 0.5),
        ("aabbc", "ac", 0.5),
        ("abc", "ab", 2 / 3),
        ("a---", "a", 1.0),
        ("---", "a", 0.0),
        ("--", "-", 1.0),
    ],
)
def test_majority_by_hand(answers, right, expected):
    samples = samples_of(answers, right)
    found = summarize([samples])
    assert found["maj_at"] == {str(len(answers)): pytest.approx(expected)}


def test_majority_is_what_ties_broken_at_random_give():
    """Against a vote over every order of the samples, in which the first of the tied wins."""
    for samples in graded(40, 5, seed=5):
        wins = []
        for order in itertools.permutations(samples):
            votes = Counter(one.answer for one in order if one.answer) or Counter([""])
            winner = votes.most_common(1)[0][0]
            wins.append(next(one.correct for one in order if one.answer == winner))
        assert summarize([samples])["maj_at"]["5"] == pytest.approx(np.mean(wins))


def test_standard_errors_match_a_bootstrap_over_questions():
    rows, rng = graded(150, 4, seed=1), np.random.default_rng(2)
    found = summarize(rows)
    names = [("accuracy", None), ("pass_at", "2"), ("pass_at", "4"), ("maj_at", "4")]
    each = [summarize([row]) for row in rows]
    for name, k in names:
        values = np.array([one[name] if k is None else one[name][k] for one in each])
        draws = values[rng.integers(0, len(rows), (4000, len(rows)))].mean(axis=1)
        error = found["stderr"] if k is None else found[f"{name}_stderr"][k]
        assert error == pytest.approx(draws.std(), rel=0.06), name
        assert (found[name] if k is None else found[name][k]) == pytest.approx(values.mean())


def test_errors_are_clustered_not_those_of_independent_answers():
    """Samples that all agree add nothing: the error is that of one sample per question."""
    one = [[Graded(float(i % 3 == 0), "x", False, 1)] for i in range(60)]
    eight = [row * 8 for row in one]
    assert summarize(eight)["stderr"] == pytest.approx(summarize(one)["stderr"])


@pytest.mark.parametrize("grade", [0.0, 0.5, 1.0])
def test_equal_questions_leave_an_error(grade):
    """Question means without spread: one pseudo-question of each extreme, as in `accuracy`."""
    rows = [[Graded(float(2 * grade > i), str(i), False, 1) for i in range(2)]] * 30
    found = summarize(rows)
    values = [grade] * 30 + [0, 1]
    expected = np.std(values) / math.sqrt(32)
    assert (found["accuracy"], found["stderr"]) == (grade, pytest.approx(expected))
    assert found["stderr"] > 0 and accuracy([grade] * 30)[1] == found["stderr"]


def test_one_sample_has_one_k():
    rows = graded(50, 1)
    found = summarize(rows)
    same = {"1": pytest.approx(found["accuracy"])}
    assert (found["n"], found["samples"]) == (50, 1)
    assert found["pass_at"] == found["maj_at"] == same
    error = {"1": pytest.approx(found["stderr"])}
    assert found["pass_at_stderr"] == found["maj_at_stderr"] == error
    assert found["correct"] == [row[0].correct for row in rows]


def test_counts_by_hand():
    found = summarize([samples_of("ab-", "a"), samples_of("aa-", "a")])
    assert found["correct"] == pytest.approx([1 / 3, 2 / 3])
    assert (found["n"], found["samples"], found["accuracy"]) == (2, 3, 0.5)
    assert (found["truncated"], found["tokens"]) == (pytest.approx(1 / 3), 4)
    assert json.loads(json.dumps(found)) == found


def test_a_task_counts_its_own_questions():
    rows = graded(6, 4)
    tasks = ["a", "b", "a", "b", "b", "a"]
    found = per_task(rows, tasks)
    for task in ("a", "b"):
        mine = [row for row, name in zip(rows, tasks, strict=True) if name == task]
        assert found[task] == {k: v for k, v in summarize(mine).items() if k != "correct"}
    assert list(found) == ["a", "b"] and found["a"]["n"] == 3


@given(right=st.integers(0, 400), wrong=st.integers(0, 400))
def test_accuracy_of_right_and_wrong_answers(right, wrong):
    n = right + wrong
    if n == 0:
        return
    mean, error = accuracy([1.0] * right + [0.0] * wrong)
    assert mean == right / n
    if right and wrong:
        assert error == pytest.approx(math.sqrt(mean * (1 - mean) / (n - 1)))
    else:
        p = (right + 1) / (n + 2)
        assert error == pytest.approx(math.sqrt(p * (1 - p) / (n + 2)))
    assert error > 0, "no number of questions makes sure"


@pytest.mark.parametrize(
    ("correct", "mean", "error"),
    [
        ([1, 1, 0, 0], 0.5, math.sqrt(1 / 3 / 4)),
        ([1, 0, 0, 0], 0.25, math.sqrt((9 / 16 + 3 / 16) / 3 / 4)),
        ([0] * 98, 0.0, math.sqrt(0.01 * 0.99 / 100)),
        ([1] * 98, 1.0, math.sqrt(0.01 * 0.99 / 100)),
        ([1], 1.0, math.sqrt(2 / 3 * 1 / 3 / 3)),
    ],
)
def test_accuracy_by_hand(correct, mean, error):
    assert accuracy([float(c) for c in correct]) == (mean, pytest.approx(error))


def test_accuracy_agrees_with_the_golden_standard_errors():
    """Golden README: 2.2 points at 50 %, 0.6 at 98 %, for 500 questions."""
    assert accuracy([1.0, 0.0] * 250)[1] == pytest.approx(0.022, abs=5e-4)
    assert accuracy([1.0] * 490 + [0.0] * 10)[1] == pytest.approx(0.006, abs=5e-4)
