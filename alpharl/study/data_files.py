"""Which tasks read fetched questions, and what the files are called. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable

from alpharl.errors import StudyError
from alpharl.evaluation.datasets import data_file, needs_data
from alpharl.evaluation.settings import Suite, Task
from alpharl.training.spec import TrainSpec


def training_task(spec: TrainSpec) -> Task | None:
    """What a run's questions are fetched as; None where its problem makes its own.

    Public data sets are trained on the split that may be validated on.
    """
    task = Task(task=spec.problem, split="validation", data=spec.data)
    return task if needs_data(task) else None


def fetched(suites: Iterable[Suite], runs: Iterable[TrainSpec] = ()) -> dict[str, Task]:
    """The files that suites and runs read, each with a task that says where it comes from.

    Raises:
        StudyError: two tasks expect different contents of the same file.
    """
    tasks: dict[str, Task] = {}
    trained = [task for spec in runs if (task := training_task(spec))]
    scored = [task for suite in suites for task in suite.tasks if needs_data(task)]
    for task in (*scored, *trained):
        known = tasks.setdefault(data_file(task), task)
        if known.sha256 is None:
            tasks[data_file(task)] = task
        elif task.sha256 not in (None, known.sha256):
            raise StudyError(
                f"task '{task.task}': found sha256 {known.sha256} and {task.sha256} for the same "
                "data, expected one; correct the wrong one"
            )
    return tasks
