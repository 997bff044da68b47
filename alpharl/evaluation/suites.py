"""Suites on disk: the questions that a suite asks, fixed before anything is scored.

suites/<suite>/suite.json     tasks, decoding settings, one digest per question; no text of any
suites/<suite>/<task>.jsonl   the questions of generated problems
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from alpharl.bounds import Count, Draws, Seed
from alpharl.checkpoints.files import read_record, write_record, write_text
from alpharl.checkpoints.manifest import digest_json
from alpharl.errors import EvaluationError, not_as_written
from alpharl.evaluation import SUITE_VERSION
from alpharl.evaluation.datasets import DATASETS, data_file, needs_data, role_of
from alpharl.evaluation.fetching import require_as_noted
from alpharl.evaluation.settings import Share, Suite, Task
from alpharl.evaluation.task_names import require_generated, require_no_options
from alpharl.problems import is_generated
from alpharl.sums import digest_file


@dataclass(frozen=True)
class SuiteFiles:
    """A suite as read from its folder."""

    folder: Path
    name: str
    role: str
    tasks: list[dict[str, Any]]
    settings: dict[str, Any]
    """How answers are decoded and judged, as the study file's `suites` has it."""
    include_path: str | None
    digest: str

    @property
    def questions(self) -> list[str]:
        """Digests of the questions' texts, in the order in which they are asked."""
        return [question for task in self.tasks for question in task["questions"]]


class _Settings(TypedDict):
    """How answers are decoded and judged: of `alpharl.evaluation.settings.Suite`."""

    chat_template: bool
    system: str | None
    temperature: Annotated[float, Field(ge=0)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    top_k: Annotated[int, Field(ge=0)]
    samples: Draws
    stop: list[str]
    seed: Seed
    max_truncated: Share


class _WrittenTask(TypedDict):
    task: str
    data: str | None
    sha256: str | None
    content: str
    private: bool
    max_new_tokens: Count
    questions: Annotated[list[str], Field(min_length=1)]


class _Written(TypedDict):
    """What `suite.json` holds."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    version: Annotated[int, Field(ge=SUITE_VERSION, le=SUITE_VERSION)]
    name: str
    role: Literal["validation", "test"]
    include_path: str | None
    settings: _Settings
    tasks: Annotated[list[_WrittenTask], Field(min_length=1)]
    digest: str


_SETTINGS = set(_Settings.__annotations__)


def write_suite(name: str, suite: Suite, out: Path, data: Path | None = None) -> None:
    """Fix a suite's questions and write `suite.json`.

    Args:
        name: of the suite.
        suite: its tasks and settings.
        out: the file.
        data: folder of fetched questions.

    Raises:
        EvaluationError: a task is unknown, has no question, or its questions are not fetched.
    """
    tasks = [_task_entry(task, suite, out.parent, data) for task in suite.tasks]
    head = {"version": SUITE_VERSION, "name": name, "role": suite.role}
    settings = suite.model_dump(include=_SETTINGS)
    content = head | {"include_path": suite.include_path, "settings": settings, "tasks": tasks}
    write_record(out, content | {"digest": _digest(content)})


def _digest(content: Mapping[str, Any]) -> str:
    # What counts as too much is no part of what is asked.
    settings = {**content["settings"], "max_truncated": None}
    return digest_json({**content, "settings": settings})


def read_suite(path: Path) -> SuiteFiles:
    """Read `suite.json`.

    Raises:
        ArtefactError: there is none, or it is not as it was written.
        EvaluationError: no such suite.
    """
    if not path.exists():
        raise EvaluationError(f"{path}: no such suite; make it with `alpharl suite`")
    data: dict[str, Any] = {**read_record(path, _Written, "alpharl suite")}
    digest = data.pop("digest")
    if digest != _digest(data):
        raise not_as_written(path, "found another digest than its questions have", "alpharl suite")
    keys = ("name", "role", "tasks", "settings", "include_path")
    return SuiteFiles(path.parent, **{key: data[key] for key in keys}, digest=digest)


def require_disjoint(suites: list[SuiteFiles]) -> dict[str, int]:
    """Refuse a question that stands in a validation and in a test suite.

    Returns:
        The number of questions per suite.

    Raises:
        EvaluationError: names two suites and how many questions they share.
    """
    for fitted in (suite for suite in suites if suite.role == "validation"):
        for tested in (suite for suite in suites if suite.role == "test"):
            shared = set(fitted.questions) & set(tested.questions)
            if shared:
                raise EvaluationError(
                    f"suites '{fitted.name}' (validation) and '{tested.name}' (test) overlap: "
                    f"found {len(shared)} questions in both, expected none; change a split"
                )
    return {suite.name: len(suite.questions) for suite in suites}


def question_digest(prompt: str) -> str:
    """What a suite keeps of a question's text."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]


def _task_entry(task: Task, suite: Suite, folder: Path, fetched: Path | None) -> dict[str, Any]:
    """One task's questions, with a digest of everything that its scores depend on."""
    file: Path | None
    if is_generated(task.task):
        file, prompts, content = _generated(task, folder)
    else:
        require_no_options(task)
        file = _fetched(task, fetched) if needs_data(task) else None
        prompts, content = _loaded(task, suite, file)
    if not prompts:
        raise EvaluationError(f"task '{task.task}': found no question, expected at least one")
    return {
        "task": task.task,
        # Relative, so that a results folder can be moved.
        "data": file and os.path.relpath(file, folder),
        "sha256": file and digest_file(file),
        "content": digest_json(content),
        "private": task.task in DATASETS and DATASETS[task.task].private,
        "max_new_tokens": task.max_new_tokens or suite.max_new_tokens,
        "questions": [question_digest(prompt) for prompt in prompts],
    }


def _generated(task: Task, folder: Path) -> tuple[Path, list[str], Any]:
    """Questions of a problem's split, written as JSON lines: file, texts, rows."""
    problem, split = require_generated(task)
    rows = problem.questions(split, task.limit)
    file = _question_file(task, folder)
    write_text(file, "".join(json.dumps(row) + "\n" for row in rows))
    return file, [row["prompt"] for row in rows], rows


def made_questions(suite: Suite, folder: Path) -> list[Path]:
    """The files of a suite's generated questions, next to the suite."""
    return [_question_file(task, folder) for task in suite.tasks if is_generated(task.task)]


def _question_file(task: Task, folder: Path) -> Path:
    options = f"-{digest_json(task.options)[:8]}" if task.options else ""
    return folder / f"{task.task}-{task.split}{options}.jsonl"


def _fetched(task: Task, folder: Path | None) -> Path:
    """The file of a data task's questions."""
    if folder is None:
        raise EvaluationError(
            f"task '{task.task}' reads fetched questions; give the folder of `alpharl fetch` "
            "with --data"
        )
    file = folder / data_file(task)
    if not file.is_file():
        local = f" --data {task.data}" if task.data else ""
        raise EvaluationError(
            f"task '{task.task}': found no {file}; run `alpharl fetch --task {task.task} "
            f"--split {role_of(task)}{local} --out {file}` or `snakemake --until fetch` "
            "on a machine with network"
        )
    require_as_noted(file)
    return file


def _loaded(task: Task, suite: Suite, file: Path | None) -> tuple[list[str], Any]:
    """Documents of an lm-eval task; its answers and its whole config count as content."""
    from alpharl.evaluation.lm_tasks import load_task, questions_of

    loaded = load_task(task.task, file and file.absolute(), suite.include_path)
    questions = questions_of(loaded)[: task.limit]
    config = loaded.dump_config()
    # Where files lie is no content, and neither is where functions lie in memory.
    config.pop("fewshot_config", None)
    (config.get("metadata") or {}).pop("config_source", None)
    if file:
        config.pop("dataset_kwargs")
    content = [questions, json.dumps(config, default=_source)]
    return [prompt for prompt, _ in questions], content


def _source(value: object) -> str:
    """Text for what is no plain data: a function by its source, for it lies anywhere."""
    return inspect.getsource(value) if inspect.isfunction(value) else str(value)
