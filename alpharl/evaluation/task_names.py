"""Which tasks there are, by name, and which keys go with each. Torch-free."""

from __future__ import annotations

from alpharl.errors import EvaluationError, nearest
from alpharl.evaluation.datasets import DATASETS, Dataset, Role, needs_data
from alpharl.evaluation.settings import Task
from alpharl.frozen import MOST_SHOWN
from alpharl.problems import PREFIX, PROBLEMS, Problem, get_problem, is_generated


def require_task(name: str) -> None:
    """Refuse a name that no task which ships has.

    Raises:
        EvaluationError: there is none; the nearest is named.
    """
    if not is_generated(name) and name not in DATASETS:
        names = [*PROBLEMS, *DATASETS, f"{PREFIX}<generator>"]
        shown = name[:MOST_SHOWN]
        raise EvaluationError(
            f"found no task '{shown}', {nearest(shown, names)}; see `alpharl tasks`"
        )


def require_generated(task: Task) -> tuple[Problem, Role]:
    """The problem that makes a task's questions, and the split that is asked.

    Raises:
        EvaluationError: there is no such problem, or keys do not go with it.
    """
    problem = get_problem(task.task, task.options)
    if task.split is None:
        raise EvaluationError(
            f"task '{task.task}' lacks 'split': it makes questions for each of validation and "
            "test; give one"
        )
    for key in ("data", "sha256"):
        if getattr(task, key) is not None:
            raise EvaluationError(
                f"task '{task.task}': found '{key}', but it makes its own questions; leave "
                f"'{key}' out"
            )
    return problem, task.split


def require_no_options(task: Task) -> None:
    """Refuse keys that go with generated questions alone, in a task that makes none.

    Raises:
        EvaluationError: names them.
    """
    if task.options:
        raise EvaluationError(
            f"task '{task.task}': found options {', '.join(task.options)}, which only "
            "reasoning-gym tasks (rg-...) take; leave them out"
        )
    if task.split is not None and not needs_data(task):
        raise EvaluationError(
            f"task '{task.task}' has no split '{task.split}': only {', '.join(PROBLEMS)}, "
            f"{PREFIX}<generator> and public data sets do (see `alpharl tasks`); leave 'split' "
            "out, or give 'data'"
        )


def require_split(name: str, role: Role, known: Dataset) -> None:
    """Refuse a split that a public data set has not.

    Args:
        name: of the task.
        role: which part of the data is asked for.
        known: where the data is.

    Raises:
        EvaluationError: it has others.
    """
    if role not in known.splits:
        raise EvaluationError(
            f"task '{name}' has no split '{role}', expected one of: {', '.join(known.splits)}"
        )
