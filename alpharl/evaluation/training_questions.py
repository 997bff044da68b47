"""A data set's questions to train on: asked and graded by the lm-eval task that evaluates."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from alpharl.errors import EvaluationError
from alpharl.evaluation.fetching import require_as_noted
from alpharl.evaluation.lm_tasks import grade, instances_of, load_task, questions_of
from alpharl.evaluation.suites import question_digest

_WORKED = ("solution", "answer")
"""Columns that may hold a worked solution; the first that is a text is imitated."""


class DataQuestions:
    """Questions of a task as the trainers take them."""

    budget = 256
    """Tokens of a completion, unless the run's `args` say otherwise."""

    def __init__(self, task: str, data: Path, scored: Collection[str]) -> None:
        """Read the questions.

        Args:
            task: name of the task.
            data: its fetched questions.
            scored: digests of the questions that suites ask, which are left out.

        Raises:
            EvaluationError: none is left, or they are not those that were fetched.
        """
        require_as_noted(data)
        self._task = load_task(task, data.absolute(), None)
        questions = questions_of(self._task)
        # No chat template here: the run puts the question into its base's.
        instances = instances_of(self._task, len(questions))
        docs: list[Any] = list(self._task.eval_docs)
        left = [i for i, (text, _) in enumerate(questions) if question_digest(text) not in scored]
        if not left:
            raise EvaluationError(
                f"{data}: found {len(questions)} questions, all of them in the study's suites; "
                "expected others to train on: lower the suites' 'limit'"
            )
        self.texts = [questions[i][0] for i in left]
        self._instances = [instances[i] for i in left]
        self._solutions = [_solution(docs[i], questions[i][1]) for i in left]

    def solution(self, index: int) -> str:
        """The data set's worked solution, or its answer where it has none."""
        return self._solutions[index]

    def right(self, indices: Sequence[int], completions: Sequence[str]) -> list[bool]:
        """Whether completions of the questions at these indices are right."""
        instances = [self._instances[index] for index in indices]
        return [value == 1.0 for value, _ in grade(self._task, instances, completions)]


def _solution(doc: dict[str, Any], answer: str) -> str:
    worked = [doc[column] for column in _WORKED if isinstance(doc.get(column), str)]
    return worked[0] if worked else answer
