"""Small problems whose answers a program can check. Needs no torch."""

from __future__ import annotations

from . import addition
from .problem import Example, Problem, Question, Split

PROBLEMS: dict[str, Problem] = {"addition": addition}

__all__ = ["PROBLEMS", "Example", "Problem", "Question", "Split"]
