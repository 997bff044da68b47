"""Public data sets of the tasks that ship with alpharl, and the files that they are fetched into.

Torch-free.

Names, splits and columns were read from the loaders of lm-eval 0.4.13 (gsm8k, aime25, gpqa,
MATH-500) and, for the others, from several public evaluation codes that agree, not from the Hub
itself. Not verified: the licences that the Hub states for MATH-500, Minerva, AIME and AMC,
and whether the answers of `amc23` are texts or numbers; the task takes both.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from alpharl.evaluation.settings import Task

Role = Literal["validation", "test"]


@dataclass(frozen=True)
class Dataset:
    """Where a task's questions come from."""

    hub: str
    """Repository on the Hub."""
    name: str | None
    """Configuration of it; None where it has one only."""
    splits: dict[Role, str]
    """The Hub's split for each role. One without `validation` may only be tested on."""
    licence: str
    """What its use is bound to."""
    private: bool = False
    """Its text must never be shown: not in logs, samples, reports or errors."""


_CONTEST = "contest text, © Mathematical Association of America; no licence found"

DATASETS: dict[str, Dataset] = {
    "gsm8k": Dataset("openai/gsm8k", "main", {"validation": "train", "test": "test"}, "MIT"),
    # 700 and 300 of the published 1000 questions.
    "svamp": Dataset("ChilleD/SVAMP", None, {"validation": "train", "test": "test"}, "MIT"),
    "math500": Dataset("HuggingFaceH4/MATH-500", None, {"test": "test"}, "MIT, as MATH"),
    "minerva": Dataset(
        "math-ai/minervamath", None, {"test": "test"},
        "from MIT OpenCourseWare, CC BY-NC-SA: not for commercial use",
    ),
    "aime24": Dataset("HuggingFaceH4/aime_2024", None, {"test": "train"}, _CONTEST),
    "aime25": Dataset("math-ai/aime25", None, {"test": "test"}, _CONTEST),
    "amc23": Dataset("math-ai/amc23", None, {"test": "test"}, _CONTEST),
    "gpqa_diamond": Dataset(
        "Idavidrein/gpqa", "gpqa_diamond", {"test": "train"},
        "CC BY 4.0; access is gated on not showing questions in the open", private=True,
    ),
    # Open-ended, text only, English, competition.
    "olympiadbench": Dataset(
        "Hothan/OlympiadBench", "OE_TO_maths_en_COMP", {"test": "train"}, "Apache-2.0"
    ),
}  # fmt: skip
"""By task."""


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
