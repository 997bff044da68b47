"""The user's own task files, whose functions, templates and filters run within limits.

They are the user's code, and run by consent. Yet one that loops, or fills the memory, should end in
a line that names the task. So what a task does to make its questions is tried in a process with
limits first, and answers are graded in one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from lm_eval.api.task import ConfigurableTask

from alpharl.confined import Confined, Failed, Overrun
from alpharl.errors import EvaluationError

LOAD_SECONDS = 60.0
"""Processor time for reading the task and its data, with `process_docs`."""
QUESTION_SECONDS = 10.0
"""Processor time for the text and the answer of a question."""
GRADE_SECONDS = 30.0
"""Processor time for grading an answer: longer than a comparison of math-verify may take."""
GIB = 8
"""Memory on top of what the process has."""


def rehearse(name: str, load: Callable[[], ConfigurableTask]) -> None:
    """Make a task's questions in a process with limits.

    Errors of the task itself are left to whoever loads it next, and meets them again.

    Args:
        name: of the task.
        load: reads the task.

    Raises:
        EvaluationError: it takes too much time or memory.
    """
    state: dict[str, Any] = {}

    def serve(number: int | None) -> int:
        if number is None:
            state["task"] = load()
            state["docs"] = list(state["task"].eval_docs)
        else:
            doc = state["docs"][number]
            state["task"].doc_to_text(doc), state["task"].doc_to_target(doc)
        return len(state["docs"])

    with closing(Confined(serve, GIB)) as confined:
        try:
            count = _asked(confined, None, LOAD_SECONDS, f"task '{name}': making its questions")
            for number in range(count):
                what = f"task '{name}': making question {number + 1}"
                _asked(confined, number, QUESTION_SECONDS, what)
        except Failed:
            return


class ConfinedGrader:
    """Grades answers to a task's questions in a process with limits."""

    def __init__(self, name: str, grade: Callable[[int, str], tuple[float, str]]) -> None:
        """Start nothing yet.

        Args:
            name: of the task.
            grade: how right a text is as the answer to the question of a number, and what the task
                extracts from it.
        """
        self._name, self._serve = name, lambda asked: grade(*asked)
        self._confined: Confined | None = None

    def __call__(self, questions: Sequence[int], texts: Sequence[str]) -> list[tuple[float, str]]:
        """How right each answer to the question of its number is, and what was extracted.

        Raises:
            EvaluationError: the task fails, or takes too much time or memory.
        """
        return [self._one(*asked) for asked in zip(questions, texts, strict=True)]

    def _one(self, question: int, text: str) -> tuple[float, str]:
        if self._confined is None or not self._confined.is_mine:
            self._confined = Confined(self._serve, GIB)
        what = f"task '{self._name}': grading an answer to question {question + 1}"
        try:
            correct, extracted = _asked(self._confined, [question, text], GRADE_SECONDS, what)
        except Failed as error:
            kind, said = error.args
            raise EvaluationError(
                f"{what} fails ({kind}: {' '.join(said.split())[:160]}), expected a number; "
                "correct the task's filters and functions"
            ) from None
        return float(correct), str(extracted)


def _asked(confined: Confined, request: Any, seconds: float, what: str) -> Any:
    try:
        return confined.ask(request, seconds)
    except Overrun as limit:
        passed = str(limit)
    except Failed as error:
        if error.args[0] != "MemoryError":
            raise
        passed = f"takes more than {GIB} GiB of memory"
    raise EvaluationError(f"{what} {passed}, expected less; correct its file or its functions")
