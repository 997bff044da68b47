"""Graders: what answer a text gives, and whether it is right. Need no torch.

A kind of answer each: `number` (exact), `latex` (mathematically equal), `choice` (a letter).
"""

from __future__ import annotations

from typing import Protocol

from . import choice, latex, number


class Grader(Protocol):
    """What a grader does; a module can be one."""

    def extract(self, text: str) -> str:
        """The answer that a text gives, spelt so that equal ones often look equal; "" for none."""

    def is_correct(self, extracted: str, target: str) -> bool:
        """Whether an extracted answer is the right one. No answer never is."""


GRADERS: dict[str, Grader] = {"number": number, "latex": latex, "choice": choice}

__all__ = ["GRADERS", "Grader", "choice", "latex", "number"]
