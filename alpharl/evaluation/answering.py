"""From a suite's questions to a model's graded answers, by way of its file of answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from alpharl.checkpoints.manifest import digest_json
from alpharl.evaluation import SCORE_VERSION
from alpharl.evaluation.answers import AnswerFile, AnswerKey
from alpharl.evaluation.engines.engine import Generate, Prompt, answer_seed
from alpharl.evaluation.journal import Row
from alpharl.evaluation.questions import TaskQuestions
from alpharl.evaluation.statistics import Graded
from alpharl.progress import Progress

PROGRESS_SECONDS = 10
"""At least so long between two lines."""
GRADED_AT_ONCE = 512
"""Answers whose texts are in memory together."""
PAUSE_SECONDS = 0.05
"""Answers that come faster than this after each other are of one batch."""


@dataclass(frozen=True)
class Request:
    """One sample of one question."""

    question: int
    """Number of the question in its task."""
    answer_key: AnswerKey
    """Finds its answer in a model's file: all that the answer depends on but the model."""
    prompt: Prompt


def requests_of(task: TaskQuestions, samples: int, seed: int, model: str) -> list[Request]:
    """All that a task asks a model, question by question.

    Args:
        task: the questions.
        samples: answers per question.
        seed: the suite's.
        model: digest of the model. Greedy answers have no seed.
    """
    drawn, requests = task.decoding.temperature > 0, []
    settings = [asdict(task.decoding), task.budget, seed if drawn else None]
    for question, tokens in enumerate(task.tokens):
        digest = digest_json([tokens, settings])[:16]
        for sample in range(samples):
            drawn_with = answer_seed(seed, model, digest, sample) if drawn else 0
            prompt = Prompt(tokens, task.budget, drawn_with)
            requests.append(Request(question, (task.name, digest, sample), prompt))
    return requests


class Meter:
    """Prints how many answers are there, and how long the rest should take."""

    def __init__(self, total: int, progress: Progress) -> None:
        """Begin to count.

        Args:
            total: answers to come.
            progress: told now and then.
        """
        self._total, self._progress, self._done = total, progress, 0
        self._started = self._shown = self._last = self._batch = time.monotonic()

    def tick(self) -> None:
        """Count an answer.

        Those of a batch come at once, after long. So what is shown is how it stood at the end of
        the batch before; a stream of answers without a pause is no batch.
        """
        now = time.monotonic()
        if now - self._last > PAUSE_SECONDS:
            self._batch = now
        between = now == self._batch or now - self._batch > 1
        if self._done and between and now - self._shown > PROGRESS_SECONDS:
            self._shown = now
            each = (self._last - self._started) / self._done
            left = each * (self._total - self._done) - (now - self._last)
            item = f"answers, about {max(left, 0):.0f} s left"
            self._progress.step("answers", self._done, self._total, item)
        self._done, self._last = self._done + 1, now


def answer(
    task: TaskQuestions, requests: Sequence[Request], generate: Generate, answers: AnswerFile,
    meter: Meter,
) -> None:  # fmt: skip
    """Generate answers to a task's requests, and write each as soon as it is there.

    Of a private task, whose questions an answer may repeat, no text is written but what the grader
    extracts from it.
    """
    prompts = [request.prompt for request in requests]
    for index, written in generate(prompts, task.decoding):
        request = requests[index]
        row: Row = {"tokens": written.tokens, "finished": written.finished}
        if task.private:
            ((correct, extracted),) = task.grade([request.question], [written.text])
            row |= {"correct": correct, "answer": extracted, "graded_by": SCORE_VERSION}
        answers.add(request.answer_key, row, None if task.private else written.text)
        meter.tick()


def is_answered(task: TaskQuestions, request: Request, answers: AnswerFile) -> bool:
    """Whether an answer is there; of a private task, one that the present grader has graded."""
    row = answers.rows.get(request.answer_key)
    return row is not None and row.get("graded_by") == (SCORE_VERSION if task.private else None)


def grade_answers(
    task: TaskQuestions, requests: Sequence[Request], answers: AnswerFile
) -> list[list[Graded]]:
    """Per question, its samples as graded."""
    questions: list[list[Graded]] = [[] for _ in task.tokens]
    for start in range(0, len(requests), GRADED_AT_ONCE):
        part = requests[start : start + GRADED_AT_ONCE]
        for request, (correct, text) in zip(part, _grades(task, part, answers), strict=True):
            row = answers.rows[request.answer_key]
            sample = Graded(correct, text, not row["finished"], row["tokens"])
            questions[request.question].append(sample)
    return questions


def _grades(
    task: TaskQuestions, requests: Sequence[Request], answers: AnswerFile
) -> list[tuple[float, str]]:
    """How right each answer is, and what was extracted from it."""
    keys = [request.answer_key for request in requests]
    if task.private:
        rows = [answers.rows[key] for key in keys]
        return [(row["correct"], row["answer"]) for row in rows]
    return task.grade([request.question for request in requests], answers.texts(keys))
