"""What a problem is: questions with one right answer, and examples to teach a base from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol, TypedDict

Split = Literal["train", "validation", "test"]


class Question(TypedDict):
    """One question: a name that stays the same, what the model reads, and the right answer."""

    id: str
    prompt: str
    answer: str


class Example(TypedDict):
    """One text to imitate: what the model reads, and what it should write."""

    prompt: str
    completion: str


class Problem(Protocol):
    """What training and evaluation need of a problem; a module can be one."""

    @property
    def MAX_NEW_TOKENS(self) -> int:
        """Tokens that the longest good completion takes, its end-of-sequence token included."""

    def questions(self, split: Split) -> list[Question]:
        """All questions of a split, in a fixed shuffled order: the first n are a fair sample."""

    def extract(self, completion: str) -> str:
        """The answer that a completion gives."""

    def is_correct(self, completion: str, answer: str) -> bool:
        """Whether the completion's answer is the right one."""

    def examples(self, seed: int, direct_share: float, corrupted_share: float) -> Iterator[Example]:
        """An endless stream of examples from the training split, the same for the same seed."""
