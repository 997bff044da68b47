"""What a run is asked, what a right completion is, and its reward: 1 if right, 0 if not."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from transformers import PreTrainedTokenizerBase

from alpharl.errors import StudyError
from alpharl.problems import Question, get_problem
from alpharl.training.recipe import TrainRecipe

Messages = list[dict[str, str]]
Prompt = str | Messages
"""Text as it is, or messages for the tokenizer's chat template."""


class Questions(Protocol):
    """The training questions of a task."""

    @property
    def texts(self) -> Sequence[str]:
        """The questions, in a fixed order."""

    @property
    def budget(self) -> int:
        """Tokens of a completion, unless the run's `args` say otherwise."""

    def solution(self, index: int) -> str:
        """A right completion of the question at an index."""

    def right(self, indices: Sequence[int], completions: Sequence[str]) -> list[bool]:
        """Whether completions of the questions at these indices are right, as evaluation grades."""


class ProblemQuestions:
    """The training split of a problem that makes its own questions."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        """Make the questions.

        Raises:
            EvaluationError: no such problem, or not one of its options.
        """
        self._problem = get_problem(name, options)
        self._questions: list[Question] = self._problem.questions("train")
        self.texts = [question["prompt"] for question in self._questions]
        self.budget: int = self._problem.max_new_tokens

    def solution(self, index: int) -> str:
        """A right completion of the question at an index."""
        return self._problem.solution(self._questions[index])

    def right(self, indices: Sequence[int], completions: Sequence[str]) -> list[bool]:
        """Whether completions of the questions at these indices are right."""
        questions = [self._questions[index] for index in indices]
        pairs = zip(completions, questions, strict=True)
        return [self._problem.is_correct(self._problem.extract(c, q), q) for c, q in pairs]


@dataclass(frozen=True)
class Asking:
    """Questions as a tokenizer's model reads them."""

    questions: Questions
    tokenizer: PreTrainedTokenizerBase
    chat: bool
    system: str | None

    def __post_init__(self) -> None:
        if self.chat and not self.tokenizer.chat_template:
            raise StudyError(
                "found no chat template in the base's tokenizer, expected one for a run with "
                "'chat_template: true'; add one to the tokenizer, or drop the key"
            )

    def prompt(self, index: int) -> Prompt:
        """The question at an index, as trainers take it."""
        text = self.questions.texts[index]
        if not self.chat:
            return text
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": text}]

    def ids(self, index: int) -> list[int]:
        """The question at an index in tokens."""
        prompt = self.prompt(index)
        if isinstance(prompt, str):
            return list(self.tokenizer.encode(prompt))
        text = str(
            self.tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        )
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def rewards(self, indices: Sequence[int], completions: Sequence[str | Messages]) -> list[float]:
        """1.0 where a completion, as trainers give it, is right, else 0.0."""
        texts = [c if isinstance(c, str) else c[-1]["content"] for c in completions]
        return [float(right) for right in self.questions.right(indices, texts)]

    def draw(self, seed: int, count: int) -> list[int]:
        """Indices of so many questions: all in a random order, again and again, each time anew."""
        stream = _shuffled(len(self.questions.texts), seed)
        return [next(stream) for _ in range(count)]


def ask(spec: TrainRecipe, questions: Questions, tokenizer: PreTrainedTokenizerBase) -> Asking:
    """A run's questions for its base's tokenizer.

    Raises:
        StudyError: a chat template is asked for, and there is none.
    """
    return Asking(questions, tokenizer, spec.chat_template, spec.system)


def _shuffled(count: int, seed: int) -> Iterator[int]:
    rng = random.Random(seed)
    while True:
        yield from rng.sample(range(count), count)
