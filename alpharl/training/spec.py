"""How bases and runs are made: what `alpharl pretrain` and `alpharl train` take.

Only the shape of a recipe lives here. Whether an entry of `args` is an option that the trainer
knows is checked in `alpharl.training`, because only there is the trainer imported.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from alpharl.frozen import Frozen

ProblemName = Literal["addition"]
Algorithm = Literal[
    "grpo", "dr-grpo", "dapo", "gspo", "rloo", "ppo", "reinforce++", "dpo", "online-dpo", "sft",
    "distill", "on-policy-distill", "es", "random-walk",
]  # fmt: skip
RL: frozenset[str] = frozenset({"grpo", "dr-grpo", "dapo", "gspo", "rloo", "ppo", "reinforce++"})
"""Algorithms that weigh sampled completions by an advantage made of a reward."""
DISTILLED: frozenset[str] = frozenset({"distill", "on-policy-distill"})
"""Algorithms that learn from a teacher."""

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


class Lora(Frozen):
    """A low-rank adapter that is trained in place of the weights (LoRA, arXiv 2106.09685)."""

    rank: Count = 16
    """Rank of the adapter."""
    alpha: Rate = 32.0
    """Scale: the update is `alpha / rank` times the product of the two factors."""
    dropout: Share = 0.0
    """Dropout before the adapter."""
    targets: list[str] | Literal["all-linear"] = "all-linear"
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


class TrainSpec(Frozen):
    """One run: an algorithm on a problem, from a base, with checkpoints on the way."""

    algorithm: Algorithm = "grpo"
    """How the run learns: see README. `random-walk` learns nothing and is the null of all runs: at
    each step every weight gets a Gaussian step of its own, of standard deviation `learning_rate`,
    about what AdamW makes of gradients that are pure noise."""
    problem: str = "addition"
    """What is asked: a task that `alpharl tasks` lists, whose training questions are used."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Of a reasoning-gym problem: options of its generator."""
    data: str | None = None
    """Local JSON or JSON lines file with the training questions of a data set, instead of the
    Hub's. Questions of the study's suites are left out."""
    chat_template: bool = False
    """Put each question into the tokenizer's chat template."""
    system: str | None = None
    """System prompt; goes with `chat_template`."""
    steps: Count = 120
    """Optimizer steps. The last one is always saved."""
    save_every: Count = 6
    """Optimizer steps between saved checkpoints."""
    save_at: list[Count] = Field(default=[])
    """Further optimizer steps that are saved, such as early ones."""
    seed: Annotated[int, Field(ge=0)] = 0
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
    teacher: str | None = None
    """Of `distill` and `on-policy-distill`: whose answers or probabilities are learned: a run of
    the study, of which the last checkpoint is taken, or a model folder."""
    entropy: EntropyBand | None = None
    """Of the RL algorithms: keep the policy's entropy in a band."""
    processes: Count = 1
    """Processes that train together, one for each GPU (`accelerate launch`)."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Further options of the trainer by its own names: see README for whose they are."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for setting, ok, why in self._demands():
            if not ok:
                raise ValueError(f"found {setting} with algorithm '{self.algorithm}', {why}")
        if self.system is not None and not self.chat_template:
            raise ValueError("'system' goes with 'chat_template: true'; set it, or drop 'system'")
        return self

    def _demands(self) -> list[tuple[str, bool, str]]:
        """What was found, whether the algorithm can have it, and what to do if not."""
        walk, gradient = (
            self.algorithm == "random-walk",
            self.algorithm not in ("random-walk", "es"),
        )
        rl, taught = self.algorithm in RL, self.algorithm in DISTILLED
        return [
            ("args", not (walk and self.args), "which has no trainer; leave it out"),
            (
                f"save_at {self.save_at}", max(self.save_at, default=0) <= self.steps,
                f"which ends at step {self.steps}; save within it",
            ),
            (
                f"optimizer '{self.optimizer}'", gradient or self.optimizer == "adamw",
                "which has no optimizer; leave it out",
            ),
            ("lora", gradient or not self.lora, "which moves all weights; leave it out"),
            ("processes", gradient or self.processes == 1, "which runs in one; leave it out"),
            ("teacher", taught or not self.teacher, "which learns from none; leave it out"),
            ("no teacher", bool(self.teacher) or not taught, "which learns from one; name a run"),
            ("entropy", rl or not self.entropy, "which is no RL with advantages; leave it out"),
        ]  # fmt: skip

    def saved_steps(self) -> list[int]:
        """The optimizer steps at which a checkpoint is written, ascending; the last is `steps`."""
        regular = range(self.save_every, self.steps + 1, self.save_every)
        return sorted({*regular, *self.save_at, self.steps})
