"""RL with a verifiable reward: the GRPO family and RLOO, as TRL has them; REINFORCE++; PPO."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from datasets import Dataset
from transformers import Trainer
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from alpharl.training.entropy import with_entropy_band
from alpharl.training.lora import adapter_config
from alpharl.training.options import trainer_config
from alpharl.training.ppo import PPOConfig, PPOTrainer
from alpharl.training.questions import Asking
from alpharl.training.reinforce import ReinforceConfig, ReinforceTrainer
from alpharl.training.setup import Setup

Config: TypeAlias = GRPOConfig | RLOOConfig


@dataclass(frozen=True)
class Published:
    """What makes a published algorithm: a trainer, the class of its options, and some of these."""

    options: dict[str, Any]
    trainer: type = GRPOTrainer
    config: type = GRPOConfig


# While a batch of completions serves a single optimizer step, the policy ratio is one and nothing
# is clipped: then `gspo` is `grpo`, and `dapo` differs in its token average alone. Set
# `steps_per_generation` or `num_iterations` to go off-policy.
ALGORITHMS: dict[str, Published] = {
    # DeepSeekMath, arXiv 2402.03300: mean over each completion, then over completions.
    "grpo": Published({"loss_type": "grpo", "scale_rewards": "group"}),
    # Dr. GRPO, arXiv 2503.20783: neither the length nor the group's deviation divides.
    "dr-grpo": Published({"loss_type": "dr_grpo", "scale_rewards": "none"}),
    # DAPO, arXiv 2503.14476: mean over all tokens, a higher upper clip. Its dynamic sampling of
    # questions and its penalty on long answers are not part of the trainer.
    "dapo": Published({"loss_type": "dapo", "scale_rewards": "group", "epsilon_high": 0.28}),
    # GSPO, arXiv 2507.18071: one ratio per completion, with the paper's narrow clip.
    "gspo": Published(
        {
            "loss_type": "grpo",
            "scale_rewards": "group",
            "importance_sampling_level": "sequence",
            "epsilon": 3e-4,
            "epsilon_high": 4e-4,
        }
    ),
    # RLOO, arXiv 2402.14740: each completion against the mean of its group's others.
    "rloo": Published({}, RLOOTrainer, RLOOConfig),
    # REINFORCE++, arXiv 2501.03262: mean over each completion, then over completions.
    "reinforce++": Published(
        {"loss_type": "grpo", "scale_rewards": "none", "num_generations": 1},
        ReinforceTrainer,
        ReinforceConfig,
    ),
    # PPO, arXiv 1707.06347, with a critic: mean over the tokens of a batch, four passes over it.
    "ppo": Published(
        {"loss_type": "bnpo", "num_generations": 1, "num_iterations": 4}, PPOTrainer, PPOConfig
    ),
}


def rl_trainer(setup: Setup) -> tuple[Trainer, int]:
    """A trainer that rewards right answers with 1 and others with 0.

    Returns:
        The trainer, and the optimizer steps from one moment at which all generated completions are
        used up to the next.

    Raises:
        StudyError: `args` holds what the trainer's config does not take, or `lora` what the base
            has not.
    """
    algorithm = ALGORITHMS[setup.spec.algorithm]
    defaults = {
        "per_device_train_batch_size": 512,
        "num_generations": 16,
        "max_completion_length": setup.asking.questions.budget,
        "temperature": 1.0,
        "beta": 0.0,
        **algorithm.options,
    }
    config = trainer_config(algorithm.config, setup, defaults)
    trainer = with_entropy_band(algorithm.trainer, setup.spec.entropy)(
        model=setup.model,
        reward_funcs=reward(setup.asking),
        args=config,
        train_dataset=Dataset.from_list(questions(setup, config)),
        processing_class=setup.tokenizer,
        peft_config=adapter_config(setup),
    )
    return trainer, _period(config)


def reward(asking: Asking) -> Callable[..., list[float]]:
    """The reward as TRL calls it."""

    def right_answer(completions: list[Any], index: list[int], **_: Any) -> list[float]:
        return asking.rewards(index, completions)

    return right_answer


def questions(setup: Setup, config: Config) -> list[dict[str, Any]]:
    """Exactly the questions that the run will use, in order.

    The trainer's own shuffling starts over when it resumes in a second pass over the data; a single
    pass over a list as long as the run cannot.
    """
    batches = setup.spec.steps * config.gradient_accumulation_steps
    generations = math.ceil(batches / (config.steps_per_generation * config.num_iterations))
    count = generations * config.generation_batch_size // config.num_generations
    indices = setup.asking.draw(setup.spec.seed, count)
    return [{"prompt": setup.asking.prompt(index), "index": index} for index in indices]


def _period(config: Config) -> int:
    batches: int = config.steps_per_generation * config.num_iterations
    steps: int = config.gradient_accumulation_steps
    return math.lcm(batches, steps) // steps
