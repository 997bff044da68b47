"""RL with a verifiable reward: the GRPO family, RLOO, PPO and REINFORCE++."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from alpharl.training.algorithm import TrainerAlgorithm

if TYPE_CHECKING:
    from transformers import Trainer

    from alpharl.training.setup import Setup


class PolicyGradient(TrainerAlgorithm):
    """Sampled completions, each weighed by an advantage, under a clipped loss.

    While a batch of completions serves a single optimizer step, the policy ratio is one and nothing
    is clipped: then `gspo` is `grpo`, and `dapo` differs in its token average alone. Set
    `steps_per_generation` or `num_iterations` to go off-policy.
    """

    rl = True
    args: ClassVar[tuple[str, ...]] = ("trl.GRPOConfig",)
    passes = 12  # 2 to generate, 2 to score what was generated, 8 to learn from it
    published: ClassVar[Mapping[str, Any]] = {}
    """The options that make the published algorithm; a run's own `args` take precedence."""

    def trainer(self, setup: Setup) -> tuple[Trainer, int]:
        """TRL's GRPOTrainer with the published options."""
        from alpharl.training.rl import rl_trainer

        return rl_trainer(setup, self.published)


class Grpo(PolicyGradient):
    """RL with a verifiable reward: each completion against the mean and deviation of its group.

    The loss is the mean over each completion, then over completions.
    """

    name = "grpo"
    source = "arXiv 2402.03300"
    published = {"loss_type": "grpo", "scale_rewards": "group"}


class DrGrpo(PolicyGradient):
    """As `grpo`, but neither the length of a completion nor its group's deviation divides."""

    name = "dr-grpo"
    source = "arXiv 2503.20783"
    published = {"loss_type": "dr_grpo", "scale_rewards": "none"}


class Dapo(PolicyGradient):
    """As `grpo`, with the mean over all tokens and a higher upper clip.

    The paper's dynamic sampling of questions and its penalty on long answers are not part of the
    trainer.
    """

    name = "dapo"
    source = "arXiv 2503.14476"
    published = {"loss_type": "dapo", "scale_rewards": "group", "epsilon_high": 0.28}


class Gspo(PolicyGradient):
    """As `grpo`, with one ratio per completion and the paper's narrow clip."""

    name = "gspo"
    source = "arXiv 2507.18071"
    published = {
        "loss_type": "grpo",
        "scale_rewards": "group",
        "importance_sampling_level": "sequence",
        "epsilon": 3e-4,
        "epsilon_high": 4e-4,
    }


class Rloo(PolicyGradient):
    """RL with a verifiable reward: each completion against the mean of its group's others."""

    name = "rloo"
    source = "arXiv 2402.14740"
    args = ("trl.RLOOConfig",)

    def trainer(self, setup: Setup) -> tuple[Trainer, int]:
        """TRL's RLOOTrainer."""
        from trl import RLOOConfig, RLOOTrainer

        from alpharl.training.rl import rl_trainer

        return rl_trainer(setup, self.published, RLOOTrainer, RLOOConfig)


class Ppo(PolicyGradient):
    """RL with a verifiable reward and a critic: one layer on the policy's last hidden states.

    The loss is the mean over the tokens of a batch, and each batch is passed over four times.
    """

    name = "ppo"
    source = "arXiv 1707.06347"
    args = (
        "trl.GRPOConfig", "vf_coef", "cliprange_value", "gamma", "lam", "whiten_rewards",
        "value_learning_rate",
    )  # fmt: skip
    published = {"loss_type": "bnpo", "num_generations": 1, "num_iterations": 4}

    def trainer(self, setup: Setup) -> tuple[Trainer, int]:
        """Ours, on TRL's GRPOTrainer."""
        from alpharl.training.ppo import PPOConfig, PPOTrainer
        from alpharl.training.rl import rl_trainer

        return rl_trainer(setup, self.published, PPOTrainer, PPOConfig)


class ReinforcePlusPlus(PolicyGradient):
    """RL with a verifiable reward, without groups: advantages are normalised over the batch.

    The loss is the mean over each completion, then over completions.
    """

    name = "reinforce++"
    source = "arXiv 2501.03262"
    published = {"loss_type": "grpo", "scale_rewards": "none", "num_generations": 1}

    def trainer(self, setup: Setup) -> tuple[Trainer, int]:
        """Ours, on TRL's GRPOTrainer."""
        from alpharl.training.reinforce import ReinforceConfig, ReinforceTrainer
        from alpharl.training.rl import rl_trainer

        return rl_trainer(setup, self.published, ReinforceTrainer, ReinforceConfig)
