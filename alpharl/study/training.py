"""How bases and runs are made: what `alpharl pretrain` and `alpharl train` take.

Only the shape of a recipe lives here. Whether an entry of `args` is an option that the trainer
knows is checked in `alpharl.training`, because only there is the trainer imported.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from .base import Frozen

ProblemName = Literal["addition"]
Algorithm = Literal["grpo", "dr-grpo", "dapo", "gspo", "sft", "random-walk"]

Count = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0)]


class ModelShape(Frozen):
    """The size of a base that is trained from nothing: a Qwen2 decoder, float32, untied head."""

    hidden_size: Count = 128
    """Width of the residual stream."""
    intermediate_size: Count = 512
    """Width of the MLP."""
    num_hidden_layers: Count = 4
    """Number of decoder layers."""
    num_attention_heads: Count = 4
    """Number of attention heads (and of key and value heads); divides `hidden_size`."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} does not split into {self.num_attention_heads} "
                "heads of even width, choose a multiple of twice num_attention_heads"
            )
        return self


class PretrainSpec(Frozen):
    """A small base, trained from nothing on a problem's two answer styles."""

    problem: ProblemName = "addition"
    """The problem that the base is taught, badly enough that RL has something to do."""
    model: ModelShape = ModelShape()
    """The size of the model."""
    steps: Count = 450
    """Optimizer steps."""
    batch_size: Count = 48
    """Examples per optimizer step."""
    learning_rate: Rate = 3e-3
    """Peak learning rate of AdamW."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the initial weights and of the examples."""
    scratchpad_first: Share = 0.4
    """Share of the steps, at the start, that show scratchpads alone: sums are learned faster so."""
    direct_share: Share = 0.7
    """Then, share of the examples that answer directly; the others show a right scratchpad."""
    corrupted_share: Share = 0.6
    """Share of the direct answers that are made wrong."""


class TrainSpec(Frozen):
    """One run: an algorithm on a problem, from a base, with checkpoints on the way."""

    algorithm: Algorithm = "grpo"
    """How the run learns: RL with a verifiable reward, or `sft`. `random-walk` learns nothing and
    is the null of all runs: at each step every weight gets a Gaussian step of its own, of standard
    deviation `learning_rate`, about what AdamW makes of gradients that are pure noise."""
    problem: ProblemName = "addition"
    """The problem whose training questions are used."""
    steps: Count = 120
    """Optimizer steps. The last one is always saved."""
    save_every: Count = 6
    """Optimizer steps between saved checkpoints."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the order of the questions and of the sampled completions, or of the random walk."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """The optimizer. `sgd` has momentum 0.9."""
    learning_rate: Rate = 5e-5
    """Peak learning rate, reached after warm-up (`warmup_steps` in `args`)."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Further options of the trainer by its own names: TRL's GRPOConfig, or SFTConfig for `sft`."""

    @model_validator(mode="after")
    def _walk_has_no_trainer(self) -> Self:
        if self.algorithm == "random-walk" and (self.args or self.optimizer != "adamw"):
            found = "args" if self.args else f"optimizer '{self.optimizer}'"
            raise ValueError(
                f"found {found} with algorithm 'random-walk', which has neither trainer nor "
                "optimizer; leave it out"
            )
        return self

    def saved_steps(self) -> list[int]:
        """The optimizer steps at which a checkpoint is written, ascending; the last is `steps`."""
        regular = range(self.save_every, self.steps + 1, self.save_every)
        return sorted({*regular, self.steps})
