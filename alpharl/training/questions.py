"""What a run is asked, what a right completion is, and its reward: 1 if right, 0 if not."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from transformers import PreTrainedTokenizerBase

from alpharl.problems import Question, get_problem
from alpharl.problems.chat import Messages
from alpharl.problems.prompts import Prompt, Prompts
from alpharl.training.recipe import TrainRecipe


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
    """Questions as a model reads them."""

    questions: Questions
    prompts: Prompts
    chat: bool
    system: str | None

    def __post_init__(self) -> None:
        if self.chat:
            self.prompts.require_chat()

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's, as its folder has it."""
        return self.prompts.tokenizer

    def prompt(self, index: int) -> Prompt:
        """The question at an index, as trainers take it."""
        text = self.questions.texts[index]
        if not self.chat:
            return text
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": text}]

    def ids(self, index: int) -> list[int]:
        """The question at an index in tokens."""
        return self.prompts.ids(self.prompt(index))

    def longest(self) -> int:
        """Tokens of the question with the most characters, whose prompt should be the longest."""
        texts = self.questions.texts
        return len(self.ids(max(range(len(texts)), key=lambda index: len(texts[index]))))

    def rewards(self, indices: Sequence[int], completions: Sequence[str | Messages]) -> list[float]:
        """1.0 where a completion, as trainers give it, is right, else 0.0."""
        texts = [c if isinstance(c, str) else c[-1]["content"] for c in completions]
        return [float(right) for right in self.questions.right(indices, texts)]

    def draw(self, seed: int, count: int) -> list[int]:
        """Indices of so many questions: all in a random order, again and again, each time anew."""
        stream = _shuffled(len(self.questions.texts), seed)
        return [next(stream) for _ in range(count)]


def ask(
    spec: TrainRecipe,
    questions: Questions,
    tokenizer: PreTrainedTokenizerBase,
    ends: Sequence[int] = (),
    rows: int | None = None,
) -> Asking:
    """A run's questions for its base.

    Args:
        spec: the run.
        questions: of its problem.
        tokenizer: the base's.
        ends: tokens that end an answer.
        rows: of the base's embedding.

    Raises:
        PromptError: a chat template is asked for, and there is none.
    """
    prompts = Prompts(tokenizer, tuple(ends), rows)
    return Asking(questions, prompts, spec.chat_template, spec.system)


def _shuffled(count: int, seed: int) -> Iterator[int]:
    rng = random.Random(seed)
    while True:
        yield from rng.sample(range(count), count)
