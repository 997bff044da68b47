"""A variant's score on a suite, as `alpharl evaluate` writes it and as it is read. Torch-free."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from alpharl.bounds import MOST_COUNT
from alpharl.checkpoints.files import read_record
from alpharl.errors import not_as_written
from alpharl.evaluation.settings import Share

MAKER = "alpharl evaluate"
_Error = Annotated[float, Field(ge=0, le=MOST_COUNT)]
_Count = Annotated[int, Field(ge=0, strict=True)]
_ByK = dict[Annotated[str, Field(pattern=r"^[1-9][0-9]*$")], Share]
_Errors = dict[str, _Error]


class _Numbers(TypedDict):
    """The numbers of a suite, or of one of its tasks: `alpharl.evaluation.statistics.summarize`."""

    n: _Count
    samples: _Count
    accuracy: Share | None
    stderr: _Error | None
    pass_at: _ByK
    pass_at_stderr: _Errors
    maj_at: _ByK
    maj_at_stderr: _Errors
    truncated: Share | None
    tokens: _Error | None


class _Decoding(TypedDict):
    temperature: _Error
    top_p: Share
    top_k: _Count
    samples: _Count
    seed: int
    stop: list[str]
    chat_template: bool
    max_new_tokens: dict[str, _Count]


class ScoreFile(_Numbers):
    """What a score's file holds; `accuracy` is None where a forecast is undefined."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    variant: str
    run: NotRequired[str]
    suite: str
    role: str
    tasks: dict[str, _Numbers]
    versions: dict[str, str]
    seconds: _Error
    question_ids: list[str]
    correct: list[Share]
    """Of each question, the mean over its samples."""
    model_digest: str
    suite_digest: str
    engine: str
    dtype: str
    decoding: _Decoding
    seed_note: str


def read_score(path: Path) -> dict[str, Any]:
    """What a score's file holds.

    Raises:
        ArtefactError: it is not as it was written, or its parts do not fit together.
    """
    score: dict[str, Any] = {**read_record(path, ScoreFile, MAKER)}
    counts = {score["n"], len(score["correct"]), len(score["question_ids"])}
    if len(counts) > 1:
        raise not_as_written(path, f"found {sorted(counts)} questions in its parts", MAKER)
    for part in (score, *score["tasks"].values()):
        if not _fits_together(part):
            raise not_as_written(path, "found numbers without their standard errors", MAKER)
    return score


def _fits_together(numbers: dict[str, Any]) -> bool:
    """Whether each number has its error, and all of them are there or none."""
    single = [numbers[name] is None for name in ("accuracy", "stderr", "truncated", "tokens")]
    by_k = all(
        numbers[name].keys() == numbers[f"{name}_stderr"].keys() for name in ("pass_at", "maj_at")
    )
    return by_k and len(set(single)) == 1 and single[0] == (numbers["n"] == 0)
