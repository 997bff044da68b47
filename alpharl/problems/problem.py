"""What a problem is: questions with one right answer, and examples to teach a base from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NotRequired, Protocol, TypedDict

Split = Literal["train", "validation", "test"]


class Question(TypedDict):
    """One question: a name that stays the same, what the model reads, and the right answer."""

    id: str
    prompt: str
    answer: str
    entry: NotRequired[str]
    """JSON of what grading needs beside the answer, of a problem that needs more."""


class Example(TypedDict):
    """One text to imitate: what the model reads, and what it should write."""

    prompt: str
    completion: str


class Problem(Protocol):
    """What evaluation needs of a problem, and a reward; a module can be one."""

    def questions(self, split: Split, limit: int | None = None) -> list[Question]:
        """A split's questions, in a fixed shuffled order: the first `limit` are a fair sample."""

    def extract(self, completion: str, question: Question) -> str:
        """The answer that a completion gives."""

    def is_correct(self, answer: str, question: Question) -> bool:
        """Whether an extracted answer is right."""

    def solution(self, question: Question) -> str:
        """A right completion, to be imitated."""


class TaughtProblem(Problem, Protocol):
    """A problem that a base can be trained on from nothing."""

    @property
    def MAX_NEW_TOKENS(self) -> int:
        """Tokens that the longest good completion takes, its end-of-sequence token included."""

    def examples(self, seed: int, direct_share: float, corrupted_share: float) -> Iterator[Example]:
        """An endless stream of examples from the training split, the same for the same seed."""
