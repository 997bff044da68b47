"""Two tables of a suite's saved answers: who reads whose text as its own, and whose start helps.

Each row is on disk as soon as it is made, so that a killed job goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpharl.errors import EvaluationError
from alpharl.evaluation.journal import RowFile
from alpharl.frozen import Frozen
from alpharl.progress import Progress

if TYPE_CHECKING:
    from alpharl.evaluation.engines.engine import Generate
    from alpharl.evaluation.questions import TaskQuestions
    from alpharl.evaluation.tokens import Written


class Reading(Frozen):
    """One model reads what another wrote, given the same prompts."""

    writer: str
    """Name of the model that wrote."""
    reader: str
    """Name of the model that reads; `base` is the base."""
    n: int
    """Number of answers that are not empty."""
    tokens: int
    """Tokens of these answers."""
    nongreedy: float
    """Mean share of tokens that are not the reader's likeliest next token."""
    nongreedy_se: float | None
    """Its standard error over answers; of a single one there is none."""
    perplexity: float
    """Mean perplexity of an answer to the reader."""
    perplexity_se: float | None
    """Its standard error over answers; of a single one there is none."""


class Continuation(Frozen):
    """The base continues the first tokens of answers that another model wrote."""

    writer: str
    """Name of the model that wrote the start."""
    prefix: int
    """Tokens that the base is given."""
    n: int
    """Number of answers."""
    accuracy: float
    """Accuracy of the continued answers."""
    stderr: float
    """Its standard error."""
    own: float
    """Accuracy of the writer's answers as they are."""
    whole: float
    """Share of answers that the writer had finished within the prefix."""


class SavedAnswers:
    """Answers that models gave to a suite, and the base, which reads and continues them."""

    def __init__(
        self,
        suite: Path,
        base: Path,
        writers: Mapping[str, Path],
        prefixes: Sequence[int],
        dtype: str,
        batch_size: int,
    ) -> None:
        """Read the questions and each writer's first answer to them, and load the base.

        Args:
            suite: `suite.json`.
            base: model folder of step 0.
            writers: files of saved answers, by the name of the model that wrote them.
            prefixes: numbers of first tokens that the base continues.
            dtype: name of a torch dtype.
            batch_size: answers that are read, or continued, at once.

        Raises:
            EvaluationError: a suite without text to read, a prefix as long as an answer may be, or
                a file that is missing or lacks some of the answers.
        """
        from alpharl.evaluation.engines.hf import HfEngine
        from alpharl.evaluation.questions import read_questions
        from alpharl.evaluation.suites import read_suite

        files = read_suite(suite)
        self._tasks = [task for task in read_questions(files, base) if not task.private]
        _require_text(suite, self._tasks)
        _require_short(prefixes, self._tasks)
        self._base, self._writers, self._prefixes = base, dict(writers), sorted(prefixes)
        self._suite, self._dtype, self._batch_size = files.digest, dtype, batch_size
        self._engine = HfEngine(base, dtype, batch_size)
        self._answers = {
            name: self._first_answers(path, files.settings["seed"])
            for name, path in self._writers.items()
        }

    def stamp(self, readers: Mapping[str, Path], known: Mapping[str, str]) -> dict[str, Any]:
        """What rows depend on: of what is left by a killed job, others are worthless.

        Args:
            readers: model folders or variants of the base, by name.
            known: digests of model folders by absolute path.
        """
        from alpharl.evaluation import TOKENS_VERSION
        from alpharl.sums import digest_file
        from alpharl.variants.adapters import read_source, source_digest

        return {
            "version": TOKENS_VERSION,
            "suite": self._suite,
            "dtype": self._dtype,
            "writers": {name: digest_file(path) for name, path in self._writers.items()},
            "readers": {
                name: source_digest(read_source(folder, self._base), known)
                for name, folder in readers.items()
            },
        }

    def read_by(
        self, readers: Mapping[str, Path], rows: RowFile, progress: Progress
    ) -> list[Reading]:
        """Let each reader read each writer's answers.

        Args:
            readers: model folders or variants of the base, by name.
            rows: rows that are made already, to which new ones are added.
            progress: told of each row.
        """
        from alpharl.variants.adapters import read_source

        texts = self._texts()
        self._say_retokenised(progress)
        keys = {
            f"{reader} reads {writer}": (reader, writer) for reader in readers for writer in texts
        }
        for reader, folder in readers.items():
            missing = [key for key in keys if key not in rows and keys[key][0] == reader]
            if not missing:
                continue
            with self._engine.weights(read_source(folder, self._base)) as model:
                for key in missing:
                    names = {"writer": keys[key][1], "reader": reader}
                    row = rows[key] = names | _read(model, texts[keys[key][1]], self._batch_size)
                    item = f"{key}: {row['nongreedy']:.3f} not its likeliest token"
                    progress.step("reading", list(keys).index(key) + 1, len(keys), item)
        return [Reading.model_validate(rows[key]) for key in keys]

    def continued(self, rows: RowFile, progress: Progress) -> list[Continuation]:
        """Let the base continue the first tokens of each writer's answers.

        Args:
            rows: rows that are made already, to which new ones are added.
            progress: told of each row.
        """
        keys = {
            f"base after {prefix} tokens of {writer}": (writer, prefix)
            for writer in self._answers
            for prefix in self._prefixes
        }
        missing = [key for key in keys if key not in rows]
        if missing:
            with self._engine.model(self._base) as generate:
                for done, key in enumerate(missing, start=1):
                    writer, prefix = keys[key]
                    names = {"writer": writer, "prefix": prefix}
                    row = rows[key] = names | self._continue(writer, prefix, generate)
                    item = f"{key}: accuracy {row['accuracy']:.3f}"
                    progress.step("continuing", done, len(missing), item)
        return [Continuation.model_validate(rows[key]) for key in keys]

    def _first_answers(self, path: Path, seed: int) -> list[list[Written]]:
        """A writer's first answer to each question, by task."""
        from alpharl.evaluation.answering import is_answered, requests_of
        from alpharl.evaluation.answers import open_answers
        from alpharl.evaluation.tokens import written

        answers = open_answers(path)
        requests = [requests_of(task, 1, seed, "") for task in self._tasks]
        pairs = zip(self._tasks, requests, strict=True)
        lacking = [
            one for task, some in pairs for one in some if not is_answered(task, one, answers)
        ]
        if lacking:
            raise EvaluationError(
                f"{path}: lacks {len(lacking)} of the suite's answers; delete the result next to "
                "it and score the variant again"
            )
        return [written(of_task, answers, self._engine.tokenizer) for of_task in requests]

    def _texts(self) -> dict[str, list[Written]]:
        """Each writer's answers that are not empty; a writer without any is left out."""
        texts = {
            writer: [text for of_task in answers for text in of_task if text.tokens]
            for writer, answers in self._answers.items()
        }
        return {writer: of_writer for writer, of_writer in texts.items() if of_writer}

    def _say_retokenised(self, progress: Progress) -> None:
        for writer, answers in self._answers.items():
            other = [
                text.retokenised(bool(task.decoding.stop))
                for task, of_task in zip(self._tasks, answers, strict=True)
                for text in of_task
            ]
            if any(other):
                progress.line(
                    f"{sum(other)} of {len(other)} answers of {writer} are read in other tokens "
                    "than it wrote them in: its text does not say which"
                )

    def _continue(self, writer: str, prefix: int, generate: Generate) -> dict[str, Any]:
        """One writer's answers, begun by it and continued by the base."""
        from alpharl.evaluation.statistics import accuracy
        from alpharl.evaluation.tokens import continue_from, plain_grades

        correct, plain, whole = list[float](), list[float](), 0.0
        for task, texts in zip(self._tasks, self._answers[writer], strict=True):
            continued = continue_from(task, texts, prefix, generate, self._engine.tokenizer)
            correct += continued.correct
            plain += plain_grades(task, texts)
            whole += continued.whole * len(texts)
        value, error = accuracy(correct)
        return {
            "n": len(correct), "accuracy": value, "stderr": error, "own": accuracy(plain)[0],
            "whole": whole / len(correct),
        }  # fmt: skip


def _read(model: Any, texts: list[Written], batch_size: int) -> dict[str, Any]:
    """What a model makes of one writer's answers."""
    from alpharl.evaluation.statistics import mean_and_error
    from alpharl.evaluation.tokens import read

    measured = read(model, texts, batch_size)
    (share, share_se), (perplexity, perplexity_se) = map(mean_and_error, measured)
    return {
        "n": len(texts), "tokens": sum(len(text.tokens) for text in texts),
        "nongreedy": share, "nongreedy_se": share_se,
        "perplexity": perplexity, "perplexity_se": perplexity_se,
    }  # fmt: skip


def _require_text(suite: Path, tasks: Sequence[TaskQuestions]) -> None:
    if not tasks:
        raise EvaluationError(
            f"{suite}: found only private tasks, whose answers are not kept as text; expected "
            "at least one other"
        )


def _require_short(prefixes: Sequence[int], tasks: Sequence[TaskQuestions]) -> None:
    for prefix in prefixes:
        if prefix >= min(task.budget for task in tasks):
            raise EvaluationError(
                f"found a prefix of {prefix} tokens, expected fewer than the budget of an answer; "
                "shorten it"
            )
