"""Scores variants on a suite: one process, one file per variant, nothing asked or scored twice."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

from alpharl.checkpoints.files import write_record
from alpharl.checkpoints.manifest import digest_json
from alpharl.errors import ArtefactError
from alpharl.evaluation import SCORE_VERSION
from alpharl.evaluation.answering import (
    Meter,
    Request,
    answer,
    grade_answers,
    is_answered,
    requests_of,
)
from alpharl.evaluation.answers import AnswerFile, merged_versions
from alpharl.evaluation.engines.end_tokens import end_tokens
from alpharl.evaluation.engines.engine import Engine
from alpharl.evaluation.engines.settings import EngineSettings
from alpharl.evaluation.questions import longest_sequence, read_questions
from alpharl.evaluation.scores import read_score
from alpharl.evaluation.statistics import per_task, summarize
from alpharl.evaluation.suites import SuiteFiles
from alpharl.progress import SILENT, Progress
from alpharl.variants.adapters import read_source, source_changes, source_digest, tell_of_sources
from alpharl.variants.store import Variant, adapter_rank


def score_variants(
    suite: SuiteFiles,
    base: Path,
    variants: Mapping[str, Path],
    digests: Mapping[str, str],
    out: Path,
    evaluation: EngineSettings,
    head: Mapping[str, Any],
    progress: Progress = SILENT,
    gpus: int = 0,
) -> list[str]:
    """Score every variant that has no result yet for exactly this model, suite and setting.

    Args:
        suite: what is asked.
        base: model folder of step 0.
        variants: by name, a model folder or a variant's folder.
        digests: of model folders by absolute path, as manifests hold them.
        out: folder of the results, `<variant>.json` each, with its answers next to it.
        evaluation: engine, precision and what else the engine needs.
        head: goes into each result as it is, such as the run's name.
        progress: told of each variant, and in between of the answers of slow ones.
        gpus: GPUs that the engine may use.

    Returns:
        The variants more of whose answers ran out of tokens than the suite allows.
    """
    sources = {name: read_source(folder, base) for name, folder in variants.items()}
    tell_of_sources(progress, base, sources)
    rank = max(map(adapter_rank, sources.values()))
    with Scorer(suite, base, evaluation, gpus, rank, progress) as scorer:
        pending: dict[str, tuple[Path | Variant, str, str]] = {}
        for name, source in sources.items():
            model = source_digest(source, digests)
            key = scorer.key(source, model)
            if not _is_current(out / f"{name}.json", key):
                pending[name] = (source, model, key)
        progress.line(
            f"{len(variants) - len(pending)} of {len(variants)} variants are scored already"
        )
        started = time.monotonic()
        for done, (name, (source, model, key)) in enumerate(pending.items(), start=1):
            score = scorer.score(source, model, out / f"{name}.answers.jsonl")
            result = {"variant": name, "suite": suite.name, "role": suite.role, **score}
            identity = {"model_digest": model, "key": key}
            write_record(out / f"{name}.json", {**head, **result, **identity, **scorer.settings})
            left = (time.monotonic() - started) / done * (len(pending) - done)
            item = f"{name} accuracy {_shown(score['accuracy'])}, about {left:.0f} s left"
            progress.step("scores", done, len(pending), item)
    limit = suite.settings["max_truncated"]
    shares = {name: json.loads((out / f"{name}.json").read_text())["truncated"]
              for name in variants}  # fmt: skip
    return [name for name, share in shares.items() if share is not None and share > limit]


def _is_merged(source: Path | Variant) -> bool:
    return isinstance(source, Variant) and source.merged


def _is_current(path: Path, key: str) -> bool:
    """Whether a result is there, and of this key; a damaged one is made again."""
    try:
        return path.is_file() and read_score(path).get("key") == key
    except ArtefactError:
        return False


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


UNDEFINED: dict[str, Any] = {
    "n": 0, "samples": 0, "accuracy": None, "stderr": None, "pass_at": {}, "pass_at_stderr": {},
    "maj_at": {}, "maj_at_stderr": {}, "truncated": None, "tokens": None, "tasks": {},
    "versions": {}, "seconds": 0.0, "question_ids": [], "correct": [],
}  # fmt: skip
"""The result of a forecast that is undefined on its window: no model, and so no accuracy."""


class Scorer:
    """The suite's questions, and an engine that is started when the first is asked."""

    def __init__(
        self,
        suite: SuiteFiles,
        base: Path,
        evaluation: EngineSettings,
        gpus: int = 0,
        rank: int = 0,
        progress: Progress = SILENT,
    ) -> None:
        """Read the suite's questions with the base's tokenizer.

        Args:
            suite: what is asked.
            base: model folder of step 0.
            evaluation: engine, precision and what else the engine needs.
            gpus: GPUs that the engine may use.
            rank: the highest rank of the adapters to come.
            progress: told of answers now and then.
        """
        self._suite, self._progress = suite, progress
        self._tasks = read_questions(suite, base)
        self._evaluation, self._opening = evaluation, (base, gpus, rank)
        self._answering, self._ends = evaluation.answer_settings, end_tokens(base)

    def __enter__(self) -> Scorer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if "_engine" in self.__dict__:
            self._engine.close()

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of how it was made."""
        chosen = ("temperature", "top_p", "top_k", "samples", "seed", "stop", "chat_template")
        return {
            "suite_digest": self._suite.digest,
            **self._answering,
            "decoding": {
                **{key: self._suite.settings[key] for key in chosen},
                "max_new_tokens": {task.name: task.budget for task in self._tasks},
            },
            "seed_note": self._evaluation.seed_note,
        }

    def key(self, source: Path | Variant, model: str) -> str:
        """Digest of all that a model's result depends on.

        Among that are what its config changes, and the prompts as the base's tokenizer and chat
        template make them.
        """
        model_parts = [model, _is_merged(source), self._answering, self._ends]
        model_parts += [self._changes(source)] if self._changes(source) else []
        return digest_json([SCORE_VERSION, *model_parts, self._suite.digest, self._prompts])

    @cached_property
    def _prompts(self) -> str:
        prompts = [[t.name, t.tokens, t.budget, asdict(t.decoding)] for t in self._tasks]
        return digest_json(prompts)

    @cached_property
    def _engine(self) -> Engine:
        base, gpus, rank = self._opening
        return self._evaluation.open(base, longest_sequence(self._tasks), gpus, rank)

    def score(
        self, source: Path | Variant, model: str = "", answers: Path | None = None
    ) -> dict[str, Any]:
        """The result of one model: accuracies, standard errors, outcome of each question.

        Args:
            source: a model folder or a variant.
            model: digest of the model; its answers' seeds depend on it.
            answers: file of its answers; those that it holds are not asked for again.
        """
        if isinstance(source, Variant) and source.meta.get("undefined"):
            return UNDEFINED
        started = time.monotonic()
        requests = self._requests(model)
        head = {"model": model, "merged": _is_merged(source), **self._answering}
        head |= {"end_tokens": self._ends}
        head |= {"config": self._changes(source)} if self._changes(source) else {}
        with AnswerFile(answers, head) as file:
            self._complete(source, requests, file)
        graded, names = [], []
        for task, of_task in zip(self._tasks, requests, strict=True):
            graded += grade_answers(task, of_task, file)
            names += [task.name] * len(task.tokens)
        versions = merged_versions(file.rows[one.answer_key] for one in chain(*requests))
        return {
            **summarize(graded),
            "tasks": per_task(graded, names),
            "versions": {"lm-eval": version("lm-eval"), **versions},
            "seconds": round(time.monotonic() - started, 3),
            "question_ids": self._suite.questions,
        }

    def _changes(self, source: Path | Variant) -> dict[str, Any]:
        """What its config changes: weights alone do not tell what a model answers."""
        return source_changes(source, self._opening[0])

    def _requests(self, model: str) -> list[list[Request]]:
        """All that the suite asks a model, by task."""
        samples, seed = self._suite.settings["samples"], self._suite.settings["seed"]
        return [requests_of(task, samples, seed, model) for task in self._tasks]

    def _complete(
        self, source: Path | Variant, requests: list[list[Request]], answers: AnswerFile
    ) -> None:
        """Ask for the answers that are not there yet."""
        missing = [
            [request for request in of_task if not is_answered(task, request, answers)]
            for task, of_task in zip(self._tasks, requests, strict=True)
        ]
        total = sum(map(len, missing))
        if not total:
            return
        meter = Meter(total, self._progress)
        with self._engine.model(source) as generate:
            answers.begin(self._engine.versions)
            for task, of_task in zip(self._tasks, missing, strict=True):
                if of_task:
                    answer(task, of_task, generate, answers, meter)
