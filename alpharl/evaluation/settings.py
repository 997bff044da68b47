"""Settings of suites and of their scoring. Torch-free."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from alpharl.bounds import (
    LEAST_TEMPERATURE,
    MOST_COUNT,
    MOST_LISTED,
    MOST_SCALE,
    Count,
    Draws,
    Rank,
    Seed,
)
from alpharl.evaluation.protocols import PROTOCOLS
from alpharl.frozen import MOST_SHOWN, Frozen, nearest
from alpharl.names import FilePath, require_no_wildcard, require_part

Share = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Task(Frozen):
    """One lm-eval task of a suite."""

    task: Annotated[str, AfterValidator(require_part)]
    """Name of a task that `alpharl tasks` lists, or of one in `include_path`."""
    split: Literal["validation", "test"] | None = None
    """Which of the disjoint splits, for a task that has several; `alpharl tasks` lists them."""
    limit: Count | None = None
    """Ask only so many questions, in the data's own order."""
    data: Annotated[FilePath, AfterValidator(require_no_wildcard)] | None = None
    """Local file with the task's questions (.json, .jsonl or .parquet), instead of the Hub's."""
    sha256: Sha256 | None = None
    """What the data file must hash to; for data from the Hub, the JSON lines made of it."""
    options: dict[str, Any] = Field(default={})
    """For a reasoning-gym task: options of its generator."""
    max_new_tokens: Count | None = None
    """Token budget of an answer to this task, instead of the suite's."""

    @property
    def source(self) -> tuple[str, str]:
        """What two tasks share that ask the same questions: a file, or a split."""
        return self.task, os.path.realpath(self.data) if self.data else self.split or "test"

    @property
    def where(self) -> str:
        """Its source in words."""
        return f"data '{self.data}'" if self.data else f"split '{self.split or 'test'}'"


def _not_too_small(temperature: float) -> float:
    if 0 < temperature < LEAST_TEMPERATURE:
        raise ValueError(
            f"found {temperature}, expected 0, which is greedy, or {LEAST_TEMPERATURE} at least: "
            "float16 cannot hold what is divided by less"
        )
    return temperature


class Suite(Frozen):
    """A named set of tasks with their decoding settings."""

    protocol: str | None = None
    """A published protocol, whose settings take the place of all defaults here. Keys you set
    yourself take precedence."""
    role: Literal["validation", "test"]
    """`validation` scores may be fitted on, `test` scores never."""
    tasks: Annotated[list[Task], Field(min_length=1, max_length=MOST_LISTED)]
    """The tasks; a suite's accuracy is the mean over all its questions."""
    include_path: Annotated[FilePath, AfterValidator(require_no_wildcard)] | None = None
    """Folder with lm-eval task files of your own; a task must generate its answers."""
    chat_template: bool = False
    """Put each question into the tokenizer's chat template."""
    system: str | None = None
    """System prompt; goes with `chat_template`."""
    max_new_tokens: Count = 256
    """Tokens that an answer may have; a task file's own `max_gen_toks` does not count."""
    temperature: Annotated[
        float, Field(ge=0, le=MOST_SCALE, allow_inf_nan=False), AfterValidator(_not_too_small)
    ] = 0.0
    """0 is greedy. A model's own `generation_config.json` does not count, except for the base's
    end tokens."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus sampling: the smallest set of tokens with this probability."""
    top_k: Annotated[int, Field(ge=0, le=MOST_COUNT)] = 0
    """Sample from the k likeliest tokens; 0 is from all."""
    samples: Draws = 1
    """Answers per question; more than one needs a temperature."""
    stop: list[Annotated[str, StringConstraints(min_length=1)]] = Field(
        default=[], max_length=MOST_LISTED
    )
    """Strings that end an answer, besides the task's own."""
    seed: Seed = 0
    """Seed of the sampling; each (model, question, sample) has a seed of its own made from it."""
    max_truncated: Share = 0.2
    """Fail if more of a checkpoint's answers than this share run out of tokens: such an accuracy
    measures the budget. 1 allows all. Other variants are flagged in the report instead, since a
    bad forecast may well be a model that never stops."""

    @model_validator(mode="before")
    @classmethod
    def _from_protocol(cls, data: Any) -> Any:
        name = data.get("protocol") if isinstance(data, Mapping) else None
        if name is None:
            return data
        if not isinstance(name, str) or name not in PROTOCOLS:
            shown = str(name)[:MOST_SHOWN]
            raise ValueError(f"unknown protocol '{shown}', {nearest(shown, list(PROTOCOLS))}")
        return {**PROTOCOLS[name], **data}

    @model_validator(mode="after")
    def _consistent(self) -> Suite:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"found samples {self.samples} with temperature 0, which are all the same; "
                "give a temperature, or take 1 sample"
            )
        asked = [(*task.source, repr(sorted(task.options.items(), key=str))) for task in self.tasks]
        twice = next((task for task in asked if asked.count(task) > 1), None)
        if twice:
            raise ValueError(f"found task '{twice[0]}' twice, expected each once; leave one out")
        if self.system is not None and not self.chat_template:
            raise ValueError("'system' goes with 'chat_template: true'; set it, or drop 'system'")
        return self


class TokenLevel(Frozen):
    """What is read token by token, and continued, of a test suite's saved answers."""

    suite: str | None = None
    """Name of a test suite, whose first answer to each question is read. Without one, nothing is
    done."""
    ranks: list[Rank] = Field(default=[1], max_length=MOST_LISTED)
    """Rank-k models of the run's end, among `rank.ranks`, that read and write next to the base and
    the full run."""
    prefix: list[Count] = Field(default=[20], max_length=MOST_LISTED)
    """The base continues so many first tokens of their answers."""
