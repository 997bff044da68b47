"""Public data sets of the tasks that ship with alpharl, as the Hub names them. Torch-free.

Names, splits and columns were read from the loaders of lm-eval 0.4.13 (gsm8k, aime25, gpqa,
MATH-500) and, for the others, from several public evaluation codes that agree, not from the Hub
itself. Not verified: the licences that the Hub states for MATH-500, Minerva, AIME and AMC,
and whether the answers of `amc23` are texts or numbers; the task takes both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
