"""The settings that all engines share, and what sets one engine apart from another. Torch-free."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from alpharl.bounds import MOST_JOBS
from alpharl.evaluation.engines.engine import Engine
from alpharl.frozen import Frozen


class EngineSettings(Frozen, ABC):
    """How variants are scored: a subclass for each engine adds its own keys, and opens it.

    A subclass narrows `engine` to one literal, its name, which is the default. Its file is imported
    wherever a study is read, so it imports heavy libraries inside functions.
    """

    engine: str
    """What generates the answers."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of the scored model, and with `vllm` of adapters. A server must have been started
    with it."""
    batch_size: Annotated[int, Field(gt=0, le=MOST_JOBS)] = 64
    """Prompts that are decoded at once, or requests that a server gets at once; an engine that
    batches by itself ignores it."""
    models_per_job: Annotated[int, Field(gt=0, le=MOST_JOBS)] = 10
    """Models that one job scores, in one start of the engine: more are fewer starts, fewer are
    more jobs side by side. Raise it for small models. For example, 30 checkpoints on two suites
    take 8 jobs with 10."""

    seed_note: ClassVar[str]
    """How far sampled answers can be had again; goes into each result."""
    incidental: ClassVar[frozenset[str]] = frozenset({"batch_size", "models_per_job"})
    """Keys that answers do not depend on: they set speed, or say where things are."""

    mixes_logits: ClassVar[bool] = False
    """Whether it decodes with two models together, as a line through their logits asks."""
    remote: ClassVar[bool] = False
    """Whether a server elsewhere computes: a job then holds no weights and takes no GPU."""
    splits: ClassVar[bool] = False
    """Whether it splits a model over all GPUs of a job; others compute on one."""
    gpu_flops: ClassVar[float] = 2e12
    """Floating point operations a second that it reaches on one GPU, an old data centre card."""
    process_gib: ClassVar[int] = 0
    """Memory of its own processes, in GiB besides the weights; 0 where it works in this one."""

    @model_validator(mode="before")
    @classmethod
    def _require_keys(cls, data: Any) -> Any:
        """Name the first key that is lacking, with what it says; unknown keys are told first."""
        if not isinstance(data, dict) or not data.keys() <= cls.model_fields.keys():
            return data
        for key, field in cls.model_fields.items():
            if field.is_required() and data.get(key) is None:
                name = cls.model_fields["engine"].default
                words = " ".join((field.description or "").split()).rstrip(".")
                raise ValueError(f"engine '{name}' lacks '{key}' ({words}); give it")
        return data

    @property
    def answer_settings(self) -> dict[str, Any]:
        """The settings that answers depend on; a result's key is made of them."""
        return self.model_dump(exclude=set(self.incidental))

    def require(self, gpus: int) -> str:
        """Refuse, before anything is scored, what the engine cannot be opened with.

        Args:
            gpus: GPUs of a scoring job.

        Returns:
            What is still to be made before it can be opened; empty for nothing.

        Raises:
            EvaluationError: something is not as it should be, or settings contradict one another.
        """
        return ""

    @abstractmethod
    def open(self, base: Path, longest: int, gpus: int, rank: int) -> Engine:
        """Start the engine.

        Args:
            base: model folder of step 0.
            longest: tokens of the longest prompt with its whole budget.
            gpus: GPUs that the job holds; 0 where it asked for none.
            rank: the highest rank of the adapters to come.

        Raises:
            EvaluationError: the engine, or what it needs, is not there.
        """
