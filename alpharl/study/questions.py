"""Whether a study's questions are there, and its trainings can begin. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alpharl.errors import EvaluationError, StudyError
from alpharl.evaluation.datasets import DATASETS, needs_data, role_of
from alpharl.evaluation.fetching import require_rows
from alpharl.evaluation.own_tasks import require_own_task
from alpharl.evaluation.settings import Suite, Task
from alpharl.evaluation.task_names import (
    require_generated,
    require_no_options,
    require_split,
    require_task,
)
from alpharl.problems import get_problem, is_generated
from alpharl.study.config import Study
from alpharl.study.data_files import fetched, training_task
from alpharl.training.declared import require_options
from alpharl.training.spec import TrainSpec


def require_questions(study: Study) -> None:
    """Refuse a study whose questions cannot be asked.

    Raises:
        EvaluationError: a task is unknown, its keys do not go with it, or its file is not as it
            should be.
        StudyError: two tasks expect different contents of one file, or a trainer has no such
            option.
    """
    for name, suite in study.suites.items():
        with _told_of(f"suite '{name}'"):
            _require_folder(suite)
            for task in suite.tasks:
                _require_asked(task, suite)
    trained = {name: run.train for name, run in study.runs.items() if run.train}
    for name, spec in trained.items():
        with _told_of(f"run '{name}'"):
            _require_trained(spec)
    fetched(study.suites.values(), trained.values())


@contextmanager
def _told_of(what: str) -> Iterator[None]:
    """Say in an error what asks."""
    try:
        yield
    except (EvaluationError, StudyError) as error:
        raise type(error)(f"{what}: {error}") from None


def _require_folder(suite: Suite) -> None:
    if suite.include_path and not Path(suite.include_path).is_dir():
        raise EvaluationError(
            f"include_path {suite.include_path}: found no such folder, expected one of lm-eval "
            "task files; correct the path"
        )


def _require_asked(task: Task, suite: Suite) -> None:
    if is_generated(task.task):
        require_generated(task)
        return
    if suite.include_path is None:
        require_task(task.task)
    elif task.task not in DATASETS:
        require_own_task(task.task, Path(suite.include_path))
    require_no_options(task)
    _require_data(task)


def _require_data(task: Task) -> None:
    if task.data is not None:
        require_rows(task)
    elif needs_data(task):
        require_split(task.task, role_of(task), DATASETS[task.task])


def _require_trained(spec: TrainSpec) -> None:
    require_task(spec.problem)
    if is_generated(spec.problem):
        get_problem(spec.problem, spec.options)
    elif spec.options:
        raise EvaluationError(
            f"problem '{spec.problem}': found options {', '.join(spec.options)}, which only "
            "reasoning-gym problems (rg-...) take; leave them out"
        )
    task = training_task(spec)
    if task:
        _require_data(task)
    require_options(spec)
