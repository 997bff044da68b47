"""The contract of a problem: it makes its own questions, each with one right answer, and grades.

Whoever reads a study imports all problems: what computes with a heavy library imports it inside a
function.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Literal, NotRequired

from typing_extensions import TypedDict

Split = Literal["train", "validation", "test"]


class Question(TypedDict):
    """One question: a name that stays the same, what the model reads, and the right answer."""

    id: str
    prompt: str
    answer: str
    entry: NotRequired[str]
    """JSON of what grading needs besides the answer, of a problem that needs more."""


class Example(TypedDict):
    """One text to imitate: what the model reads, and what it should write."""

    prompt: str
    completion: str


class Problem(ABC):
    """One problem, as evaluation asks it and as training rewards it."""

    max_new_tokens: ClassVar[int] = 256
    """Tokens that the longest good completion takes, its end-of-sequence token included; a training
    run samples so many, unless its `args` say otherwise."""
    stop: ClassVar[tuple[str, ...]] = ()
    """Strings that end an answer, besides the suite's own."""

    @abstractmethod
    def questions(self, split: Split, limit: int | None = None) -> list[Question]:
        """A split's questions, in a fixed shuffled order: the first `limit` are a fair sample.

        The splits share no question.
        """

    @abstractmethod
    def extract(self, completion: str, question: Question) -> str:
        """The answer that a completion gives."""

    @abstractmethod
    def is_correct(self, answer: str, question: Question) -> bool:
        """Whether an extracted answer is right."""

    @abstractmethod
    def solution(self, question: Question) -> str:
        """A right completion, to be imitated."""


class TaughtProblem(Problem):
    """A problem that a base can be trained on from nothing."""

    @abstractmethod
    def examples(self, seed: int, direct_share: float, corrupted_share: float) -> Iterator[Example]:
        """An endless stream of examples from the training split, the same for the same seed.

        Args:
            seed: of the stream.
            direct_share: share of the examples that answer at once; the others work it out.
            corrupted_share: share of the direct answers that are wrong.
        """
