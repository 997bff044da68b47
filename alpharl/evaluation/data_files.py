"""Which tasks read fetched questions, and what the files are called. Torch-free."""

from __future__ import annotations

import hashlib

from alpharl.evaluation.datasets import DATASETS, Role
from alpharl.evaluation.settings import Task


def needs_data(task: Task) -> bool:
    """Whether a task's questions are fetched: a public data set, or a local file of the user's."""
    return task.data is not None or task.task in DATASETS


def role_of(task: Task) -> Role:
    """The part of the data that a task asks; `test` unless it says otherwise."""
    return task.split or "test"


def data_file(task: Task) -> str:
    """Name of the file that a data task's questions are fetched into."""
    name = f"{task.task}-{role_of(task)}"
    if task.data is not None:
        name += f"-{hashlib.sha256(task.data.encode()).hexdigest()[:8]}"
    return f"{name}.jsonl"
