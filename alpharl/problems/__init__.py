"""Problems that make their own questions, and check the answers. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpharl.errors import EvaluationError, nearest

from .problem import Example, Problem, Question, Split, TaughtProblem
from .reasoning_gym import PREFIX, gym_problem
from .registry import PROBLEMS, TAUGHT


def is_generated(name: str) -> bool:
    """Whether a task's name is that of a problem, and not of an lm-eval task or a data set."""
    return name in PROBLEMS or name.startswith(PREFIX)


def get_problem(name: str, options: Mapping[str, Any] | None = None) -> Problem:
    """A problem by its name: a registered one, or `rg-` and one of reasoning-gym's generators.

    Raises:
        EvaluationError: no such problem, or not one of its options.
    """
    if name.startswith(PREFIX):
        return gym_problem(name.removeprefix(PREFIX), options or {})
    if name not in PROBLEMS:
        raise EvaluationError(f"unknown problem '{name}', {nearest(name, [*PROBLEMS])}")
    if options:
        raise EvaluationError(f"{name}: found options {sorted(options)}, but it takes none")
    return PROBLEMS[name]


__all__ = [
    "PREFIX",
    "PROBLEMS",
    "TAUGHT",
    "Example",
    "Problem",
    "Question",
    "Split",
    "TaughtProblem",
    "get_problem",
    "is_generated",
]
