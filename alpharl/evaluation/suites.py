"""Suites on disk: the questions that a suite asks, fixed before anything is scored.

suites/<suite>/suite.json     tasks, decoding settings, one digest per question
suites/<suite>/<task>.jsonl   the questions of generated problems
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpharl.checkpoints.files import write_json, write_text
from alpharl.checkpoints.manifest import digest_json
from alpharl.errors import EvaluationError
from alpharl.evaluation import SUITE_VERSION
from alpharl.problems import PROBLEMS
from alpharl.study.suite import Suite, Task


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


_SETTINGS = {
    "chat_template", "system", "temperature", "top_p", "top_k", "samples", "stop", "seed",
    "max_truncated",
}  # fmt: skip


def write_suite(name: str, suite: Suite, out: Path) -> None:
    """Fix a suite's questions and write `suite.json`.

    Raises:
        EvaluationError: a task is unknown, or has no question.
    """
    tasks = [_task_entry(task, suite, out.parent) for task in suite.tasks]
    head = {"version": SUITE_VERSION, "name": name, "role": suite.role}
    settings = suite.model_dump(include=_SETTINGS)
    data = head | {"include_path": suite.include_path, "settings": settings, "tasks": tasks}
    # What counts as too much is no part of what is asked.
    asked = data | {"settings": {**settings, "max_truncated": None}}
    write_json(out, data | {"digest": digest_json(asked)})


def read_suite(path: Path) -> SuiteFiles:
    """Read `suite.json`.

    Raises:
        EvaluationError: there is none.
    """
    if not path.is_file():
        raise EvaluationError(f"{path}: no such suite; make it with `alpharl suite`")
    data = json.loads(path.read_text())
    keys = ("name", "role", "tasks", "settings", "include_path", "digest")
    return SuiteFiles(path.parent, **{key: data[key] for key in keys})


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


def _task_entry(task: Task, suite: Suite, folder: Path) -> dict[str, Any]:
    """One task's questions, with a digest of everything that its scores depend on."""
    made = _generated(task, folder) if task.split is not None else _loaded(task, suite)
    data, prompts, content = made
    if not prompts:
        raise EvaluationError(f"task '{task.task}': found no question, expected at least one")
    digests = [hashlib.sha256(prompt.encode()).hexdigest()[:16] for prompt in prompts]
    return {
        "task": task.task,
        "data": data,
        "content": digest_json(content),
        "private": False,
        "max_new_tokens": task.max_new_tokens or suite.max_new_tokens,
        "questions": digests,
    }


Questions = tuple[str | None, list[str], Any]
"""File of the questions, if they are generated; their texts; what their scores depend on."""


def _generated(task: Task, folder: Path) -> Questions:
    """Questions of a problem's split, written as JSON lines."""
    if task.task not in PROBLEMS or task.split is None:
        raise EvaluationError(
            f"task '{task.task}' has no split '{task.split}': only generated problems "
            f"({', '.join(PROBLEMS)}) do; leave 'split' out"
        )
    rows = PROBLEMS[task.task].questions(task.split)[: task.limit]
    name = f"{task.task}-{task.split}.jsonl"
    write_text(folder / name, "".join(json.dumps(row) + "\n" for row in rows))
    return name, [row["prompt"] for row in rows], rows


def _loaded(task: Task, suite: Suite) -> Questions:
    """Documents of an lm-eval task; its answers and its whole config count as content."""
    from alpharl.evaluation.lm_tasks import load_task, questions_of

    loaded = load_task(task.task, None, suite.include_path)
    questions = questions_of(loaded)[: task.limit]
    content = [questions, json.dumps(loaded.dump_config(), default=str)]
    return None, [prompt for prompt, _ in questions], content
