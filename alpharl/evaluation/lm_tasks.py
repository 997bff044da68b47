"""lm-eval tasks: ours, or the user's own in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager

from alpharl.errors import EvaluationError
from alpharl.problems import PREFIX

OWN_TASKS = Path(__file__).parent / "tasks"


def load_task(name: str, data: Path | None, include_path: str | None) -> ConfigurableTask:
    """An lm-eval task object.

    Args:
        name: the task's name in its YAML file.
        data: JSON lines that replace the task's test split.
        include_path: a folder of the user's own task files, searched beside ours.

    Raises:
        EvaluationError: no such task.
    """
    name = yaml_name(name)
    folders = [OWN_TASKS, *([Path(include_path)] if include_path else [])]
    manager = TaskManager(include_path=list(folders), include_defaults=False)
    if name not in manager.all_tasks:
        raise EvaluationError(
            f"task '{name}': not found in {', '.join(map(str, folders))}; expected one of: "
            + ", ".join(sorted(manager.all_tasks))
        )
    # A task inside an inline group is lm-eval's public way to override a part of its config.
    override = {} if data is None else {"dataset_kwargs": {"data_files": {"test": str(data)}}}
    loaded = manager.load({"group": "suite", "task": [{"task": name, **override}]})
    (task,) = loaded["tasks"].values()
    return task


def yaml_name(name: str) -> str:
    """Name in its YAML file of a suite's task: all generators of reasoning-gym share one."""
    return "reasoning_gym" if name.startswith(PREFIX) else name


def questions_of(task: ConfigurableTask) -> list[tuple[str, str]]:
    """The texts that the task asks and the answers that it wants, in order."""
    docs: list[Any] = list(task.eval_docs)
    return [(str(task.doc_to_text(doc)), str(task.doc_to_target(doc))) for doc in docs]
