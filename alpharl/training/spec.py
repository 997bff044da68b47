"""How bases and runs are made: what `alpharl pretrain` and `alpharl train` take.

Only the shape of a recipe lives here. Whether an entry of `args` is an option that the trainer
knows is checked in `alpharl.training`, because only there is the trainer imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from alpharl.bounds import MOST_JOBS, MOST_UPDATES, Seed
from alpharl.frozen import Frozen
from alpharl.problems import TAUGHT
from alpharl.training.recipe import Rate, Share, TrainRecipe
from alpharl.training.registry import ALGORITHMS

if TYPE_CHECKING:
    AlgorithmName = str
    ProblemName = str
else:
    AlgorithmName = Literal[tuple(ALGORITHMS)]
    ProblemName = Literal[tuple(TAUGHT)]


Size = Annotated[int, Field(gt=0, le=MOST_JOBS)]
POSITIONS = 128
"""Tokens that a base which is pretrained here can read and write together."""


BUDGETS = ("max_completion_length", "max_new_tokens")
"""How trainers call the tokens that a completion may have."""


class ModelShape(Frozen):
    """The size of a base that is trained from nothing: a Qwen2 decoder, float32, untied head."""

    hidden_size: Size = 128
    """Width of the residual stream."""
    intermediate_size: Size = 512
    """Width of the MLP."""
    num_hidden_layers: Annotated[int, Field(gt=0, le=1000)] = 4
    """Number of decoder layers."""
    num_attention_heads: Size = 4
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
    steps: Annotated[int, Field(gt=0, le=MOST_UPDATES)] = 450
    """Optimizer steps."""
    batch_size: Size = 48
    """Examples per optimizer step."""
    learning_rate: Rate = 3e-3
    """Peak learning rate of AdamW."""
    seed: Seed = 0
    """Seed of the initial weights and of the examples."""
    scratchpad_first: Share = 0.4
    """Share of the steps, at the start, that show scratchpads alone: sums are learned faster so."""
    direct_share: Share = 0.7
    """Then, share of the examples that answer directly; the others show a right scratchpad."""
    corrupted_share: Share = 0.6
    """Share of the direct answers that are made wrong."""


class TrainSpec(TrainRecipe):
    """One run: an algorithm on a problem, from a base, with checkpoints on the way."""

    algorithm: AlgorithmName = "grpo"
    """How the run learns: one of the algorithms that config/README.md lists."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for setting, ok, why in self._demands():
            if not ok:
                raise ValueError(f"found {setting} with algorithm '{self.algorithm}', {why}")
        if self.system is not None and not self.chat_template:
            raise ValueError("'system' goes with 'chat_template: true'; set it, or drop 'system'")
        return self

    def _demands(self) -> list[tuple[str, object, str]]:
        """What was found, whether the algorithm can have it, and what to do if not."""
        its = ALGORITHMS[self.algorithm]
        return [
            ("args", its.args or not self.args, "which has no trainer; leave it out"),
            (
                f"save_at {self.save_at}", max(self.save_at, default=0) <= self.steps,
                f"which ends at step {self.steps}; save within it",
            ),
            (
                f"optimizer '{self.optimizer}'", its.gradient or self.optimizer == "adamw",
                "which has no optimizer; leave it out",
            ),
            ("lora", its.gradient or not self.lora, "which moves all weights; leave it out"),
            ("processes", its.gradient or self.processes == 1, "which runs in one; leave it out"),
            ("teacher", its.teacher or not self.teacher, "which learns from none; leave it out"),
            ("no teacher", self.teacher or not its.teacher, "which learns from one; name a run"),
            ("entropy", its.rl or not self.entropy, "which is no RL with advantages; leave it out"),
        ]  # fmt: skip
