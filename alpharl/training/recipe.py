"""The recipe of a run: every key of `train`, whatever the algorithm.

Trainers read this. `alpharl.training.spec` adds what a recipe's algorithm demands of its keys.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from alpharl.bounds import MOST_DEVICES, MOST_JOBS, MOST_SCALE, MOST_UPDATES, Rank, Seed
from alpharl.frozen import Frozen
from alpharl.names import FilePath, require_no_wildcard
from alpharl.steps import Step

Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, le=MOST_SCALE, allow_inf_nan=False)]


class Lora(Frozen):
    """A low-rank adapter that is trained in place of the weights (LoRA, arXiv 2106.09685)."""

    rank: Rank = 16
    """Rank of the adapter."""
    alpha: Rate = 32.0
    """Scale: the update is `alpha / rank` times the product of the two factors."""
    dropout: Share = 0.0
    """Dropout before the adapter."""
    targets: Annotated[list[str], Field(min_length=1)] | Literal["all-linear"] = "all-linear"
    """Names of the layers that get one."""


class EntropyBand(Frozen):
    """Entropy-controlled sampling (Entrocraft, arXiv 2604.26326): while the policy's entropy lies
    outside the band, completions that would drive it further away take no part in the update."""

    low: tuple[Rate, Rate] = (0.6, 0.1)
    """Lower edge in nats per token, at the first and the last step; a line in between."""
    high: tuple[Rate, Rate] = (0.7, 0.2)
    """Upper edge, likewise."""

    @model_validator(mode="after")
    def _low_below_high(self) -> Self:
        if any(low >= high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"found low {self.low} and high {self.high}, expected low below high")
        return self


class TrainRecipe(Frozen):
    """What a run is trained with, and which of its checkpoints are saved."""

    algorithm: str = "grpo"
    """How the run learns."""
    problem: str = "addition"
    """What is asked: a task that `alpharl tasks` lists, whose training questions are used."""
    options: dict[str, Any] = Field(default_factory=dict)
    """For a reasoning-gym problem: options of its generator."""
    data: Annotated[FilePath, AfterValidator(require_no_wildcard)] | None = None
    """Local file with the training questions of a data set (.json, .jsonl or .parquet), instead of
    the Hub's. Questions of the study's suites are left out."""
    chat_template: bool = False
    """Put each question into the tokenizer's chat template."""
    system: str | None = None
    """System prompt; goes with `chat_template`."""
    steps: Annotated[Step, Field(le=MOST_UPDATES)] = 120
    """Optimizer steps. The last one is always saved."""
    save_every: Step = 6
    """Optimizer steps between saved checkpoints."""
    save_at: list[Step] = Field(default=[])
    """Further optimizer steps that are saved, such as the early ones `[1, 2, 4, 8]`."""
    seed: Seed = 0
    """Seed of the order of the questions and of the sampled completions, or of the random walk."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """The optimizer. `sgd` has momentum 0.9."""
    learning_rate: Rate = 5e-5
    """Peak learning rate, reached after warm-up (`warmup_steps` in `args`)."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the weights that are trained and saved; with `lora`, of the frozen base alone.
    Steps of an RL run are often smaller than the spacing of bfloat16 numbers near the weights, and
    are lost there."""
    lora: Lora | None = None
    """Train a low-rank adapter; checkpoints hold the adapter alone."""
    teacher: Annotated[FilePath, AfterValidator(require_no_wildcard)] | None = None
    """For an algorithm that learns from a teacher: a run of the study, whose last checkpoint
    teaches, or a model folder with the base's tokenizer."""
    entropy: EntropyBand | None = None
    """For an RL algorithm: keep the policy's entropy in a band."""
    processes: Annotated[int, Field(gt=0, le=MOST_DEVICES)] = 1
    """Processes that train together, one for each GPU (`accelerate launch`)."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Further options of the algorithm's trainer, by its own names: config/README.md says whose
    they are. They are checked when the run starts."""

    @model_validator(mode="after")
    def _saves_some(self) -> Self:
        if self.steps // self.save_every > MOST_JOBS:
            raise ValueError(
                f"found {self.steps} steps and save_every {self.save_every}, expected at most "
                f"{MOST_JOBS} checkpoints; raise save_every"
            )
        return self

    def saved_steps(self) -> list[int]:
        """The optimizer steps at which a checkpoint is written, ascending; the last is `steps`."""
        regular = range(self.save_every, self.steps + 1, self.save_every)
        return sorted({*regular, *self.save_at, self.steps})
