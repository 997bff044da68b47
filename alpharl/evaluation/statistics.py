"""Scores of graded answers, several per question: avg@k, pass@k and maj@k with standard errors.

Standard errors are clustered by question: a question's samples share its difficulty, so its own
mean is the unit and the number of questions is the n. They say how far another draw of questions
(each with its samples) would move the number.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Graded:
    """One graded answer."""

    correct: float
    """The task's grade, 0 or 1."""
    answer: str
    """What was extracted from the text; empty where nothing was found."""
    truncated: bool
    """Whether the token budget cut it off."""
    tokens: int


def accuracy(correct: Sequence[float] | Values) -> tuple[float, float]:
    """Mean and standard error of one value per question, between 0 and 1.

    The error is the sample deviation over sqrt(n), which is binomial for one answer per question.
    With all values equal the deviation is 0 and says too little; one pseudo-question of each
    extreme (Agresti and Coull, 1998, with z = sqrt 2) keeps the error honest there.
    """
    values_n = np.asarray(correct, dtype=np.float64)
    mean = float(values_n.mean())
    if values_n.min() < values_n.max():
        return mean, float(values_n.std(ddof=1) / math.sqrt(len(values_n)))
    padded = np.append(values_n, [0.0, 1.0])
    return mean, float(padded.std() / math.sqrt(len(padded)))


def mean_and_error(values: Sequence[float] | Values) -> tuple[float, float]:
    """Mean and standard error of one value per question; the error of a single one is nan."""
    values_n = np.asarray(values, dtype=np.float64)
    error = values_n.std(ddof=1) / math.sqrt(len(values_n)) if len(values_n) > 1 else math.nan
    return float(values_n.mean()), float(error)


def summarize(graded: list[list[Graded]]) -> dict[str, Any]:
    """The numbers of a score file.

    Args:
        graded: per question its samples; each question has the same number of them, at least one.

    Returns:
        `n` (questions), `samples` (per question), `accuracy` (avg@k) and `stderr`, `pass_at` and
        `maj_at` by k with `pass_at_stderr` and `maj_at_stderr`, `truncated` (share of answers),
        `tokens` (mean length) and `correct` (n,), each question's mean over its samples.
    """
    correct_ns = np.array([[one.correct for one in samples] for samples in graded], np.float64)
    answers = [one for samples in graded for one in samples]
    n, samples = correct_ns.shape
    mean, error = accuracy(correct_ns.mean(axis=1))
    passed = {k: accuracy(_pass_at(correct_ns, k)) for k in _depths(samples)}
    voted = {samples: accuracy([_majority(of_question) for of_question in graded])}
    return {
        **{"n": n, "samples": samples, "accuracy": mean, "stderr": error},
        **_by_k("pass_at", passed),
        **_by_k("maj_at", voted),
        "truncated": sum(one.truncated for one in answers) / len(answers),
        "tokens": sum(one.tokens for one in answers) / len(answers),
        "correct": correct_ns.mean(axis=1).tolist(),
    }


def per_task(graded: list[list[Graded]], tasks: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The numbers of `summarize`, less `correct`, for each task's questions alone.

    Args:
        graded: as `summarize` takes it.
        tasks: of each question (n,), the name of its task.
    """
    parts: dict[str, list[list[Graded]]] = {}
    for task, of_question in zip(tasks, graded, strict=True):
        parts.setdefault(task, []).append(of_question)
    numbers = {task: summarize(part) for task, part in parts.items()}
    return {
        task: {key: value for key, value in summary.items() if key != "correct"}
        for task, summary in numbers.items()
    }


def _depths(samples: int) -> list[int]:
    """The k of pass@k: powers of two, and all samples."""
    powers = [1 << i for i in range(samples.bit_length())]
    return sorted({*powers, samples})


def _by_k(name: str, estimates: dict[int, tuple[float, float]]) -> dict[str, dict[str, float]]:
    """Estimates and their errors as JSON holds them."""
    return {
        name: {str(k): value for k, (value, _) in estimates.items()},
        f"{name}_stderr": {str(k): error for k, (_, error) in estimates.items()},
    }


def _pass_at(correct_ns: Values, k: int) -> Values:
    """Per question (n,), the expected best grade among k of its s samples, drawn at once.

    The i-th smallest grade is the best of C(i-1, k-1) of the C(s, k) draws. For grades of 0 and 1,
    c of them 1, the sum is 1 - C(s-c, k) / C(s, k): the unbiased pass@k of Chen et al. (2021,
    arXiv 2107.03374, section 2.1).
    """
    samples = correct_ns.shape[1]
    draws = math.comb(samples, k)
    weights_s = np.array([math.comb(i, k - 1) / draws for i in range(samples)])
    best_n: Values = np.sort(correct_ns, axis=1) @ weights_s
    # Weights sum to 1 up to rounding; a sure pass is to be exactly that.
    return np.clip(best_n, 0.0, 1.0).round(12)


def _majority(samples: list[Graded]) -> float:
    """Expected grade of the most frequent answer, a tie being broken at random.

    Empty answers do not vote unless there are no others. Tied answers have equally many votes, so
    the mean over them is that over their samples.
    """
    votes = Counter(one.answer for one in samples if one.answer) or Counter([""] * len(samples))
    most = max(votes.values())
    winners = [one.correct for one in samples if votes.get(one.answer) == most]
    return sum(winners) / len(winners)
