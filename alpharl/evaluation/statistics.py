"""Accuracy of right-or-wrong answers, with its standard error."""

from __future__ import annotations

import math


def accuracy(correct: list[float]) -> tuple[float, float]:
    """Mean and standard error over questions.

    The error is the sample deviation over sqrt(n), which is binomial for one answer per question.
    With all answers equal the deviation is 0 and says too little; one pseudo-answer of each kind
    (Agresti and Coull, 1998, with z = sqrt 2) keeps the error honest there.
    """
    n, mean = len(correct), sum(correct) / len(correct)
    if 0 < mean < 1 and n > 1:
        return mean, math.sqrt(sum((c - mean) ** 2 for c in correct) / (n - 1) / n)
    adjusted = (sum(correct) + 1) / (n + 2)
    return mean, math.sqrt(adjusted * (1 - adjusted) / (n + 2))
