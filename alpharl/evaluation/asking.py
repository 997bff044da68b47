"""From a suite's questions to a model's graded answers, through the answers that are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from alpharl.checkpoints.manifest import digest_json
from alpharl.evaluation import SCORE_VERSION
from alpharl.evaluation.answers import AnswerFile, Place, Row
from alpharl.evaluation.engines.engine import Generate, Prompt, answer_seed
from alpharl.evaluation.questions import TaskQuestions
from alpharl.evaluation.statistics import Graded

PROGRESS_SECONDS = 10
"""At least so long between two lines."""
GRADED_AT_ONCE = 512
"""Answers whose texts are in memory together."""
PAUSE_SECONDS = 0.05
"""Answers that come faster than this after each other are of one batch."""


@dataclass(frozen=True)
class Asked:
    """One sample of one question."""

    question: int
    """Number of the question in its task."""
    place: Place
    """Where its answer is kept: a digest of all that the answer depends on but the model."""
    prompt: Prompt


def asked_of(task: TaskQuestions, samples: int, seed: int, model: str) -> list[Asked]:
    """All that a task asks a model, question by question.

    Args:
        task: the questions.
        samples: answers per question.
        seed: the suite's.
        model: digest of the model. Greedy answers have no seed.
    """
    drawn, found = task.decoding.temperature > 0, []
    settings = [asdict(task.decoding), task.budget, seed if drawn else None]
    for question, tokens in enumerate(task.tokens):
        prompt = digest_json([tokens, settings])[:16]
        for sample in range(samples):
            own = answer_seed(seed, model, prompt, sample) if drawn else 0
            asked = Prompt(tokens, task.budget, own)
            found.append(Asked(question, (task.name, prompt, sample), asked))
    return found


class Meter:
    """Prints how many answers are there, and how long the rest should take."""

    def __init__(self, total: int, progress: Callable[[str], None]) -> None:
        """Begin to count.

        Args:
            total: answers to come.
            progress: called with a line, not too often.
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
            line = f"{self._done}/{self._total} answers, about {max(left, 0):.0f} s left"
            self._progress(line)
        self._done, self._last = self._done + 1, now


def ask(
    task: TaskQuestions, missing: Sequence[Asked], generate: Generate, kept: AnswerFile,
    meter: Meter,
) -> None:  # fmt: skip
    """Generate the missing answers of a task, and keep each as soon as it is there.

    Of a private task, whose questions an answer may repeat, no text is kept but what the grader
    extracts from it.
    """
    for index, answer in generate([asked.prompt for asked in missing], task.decoding):
        asked = missing[index]
        row: Row = {"tokens": answer.tokens, "finished": answer.finished}
        if task.private:
            ((correct, extracted),) = task.grade([asked.question], [answer.text])
            row |= {"correct": correct, "answer": extracted, "graded_by": SCORE_VERSION}
        kept.add(asked.place, row, None if task.private else answer.text)
        meter.tick()


def is_kept(task: TaskQuestions, asked: Asked, kept: AnswerFile) -> bool:
    """Whether an answer is there; of a private task, one that the present grader has graded."""
    row = kept.rows.get(asked.place)
    return row is not None and (not task.private or row["graded_by"] == SCORE_VERSION)


def graded(task: TaskQuestions, all_asked: Sequence[Asked], kept: AnswerFile) -> list[list[Graded]]:
    """Per question, its samples as graded."""
    found: list[list[Graded]] = [[] for _ in task.tokens]
    for start in range(0, len(all_asked), GRADED_AT_ONCE):
        part = all_asked[start : start + GRADED_AT_ONCE]
        for asked, (correct, answer) in zip(part, _grades(task, part, kept), strict=True):
            row = kept.rows[asked.place]
            one = Graded(correct, answer, not row["finished"], row["tokens"])
            found[asked.question].append(one)
    return found


def _grades(
    task: TaskQuestions, asked: Sequence[Asked], kept: AnswerFile
) -> list[tuple[float, str]]:
    if task.private:
        rows = [kept.rows[one.place] for one in asked]
        return [(row["correct"], row["answer"]) for row in rows]
    return task.grade([one.question for one in asked], kept.texts([one.place for one in asked]))
