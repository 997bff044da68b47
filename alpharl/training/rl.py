"""RL with a verifiable reward, by a trainer of TRL's GRPO family."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from datasets import Dataset
from transformers import Trainer
from trl import GRPOConfig, GRPOTrainer, RLOOConfig

from alpharl.training.entropy import with_entropy_band
from alpharl.training.lora import adapter_config
from alpharl.training.options import refuse, trainer_config
from alpharl.training.own_prompts import REFUSED, with_prompts
from alpharl.training.questions import Asking
from alpharl.training.setup import Setup

Config: TypeAlias = GRPOConfig | RLOOConfig


def rl_trainer(
    setup: Setup,
    published: Mapping[str, Any],
    trainer_class: type = GRPOTrainer,
    config_class: type = GRPOConfig,
) -> tuple[Trainer, int]:
    """A trainer that rewards right answers with 1 and others with 0.

    Args:
        setup: the run.
        published: the options that make the algorithm; those of the run take precedence.
        trainer_class: a trainer of TRL's GRPO family.
        config_class: of its options.

    Returns:
        The trainer, and the optimizer steps from one moment at which all generated completions are
        used up to the next.

    Raises:
        StudyError: `args` holds what the trainer's config does not take, or `lora` what the base
            has not.
    """
    defaults = {
        "per_device_train_batch_size": 512,
        "num_generations": 16,
        "max_completion_length": setup.asking.questions.budget,
        "temperature": 1.0,
        "beta": 0.0,
        **published,
    }
    refuse(setup.spec, REFUSED)
    config = trainer_config(config_class, setup, defaults)
    prompted = with_prompts(trainer_class, setup.asking.prompts)
    trainer = with_entropy_band(prompted, setup.spec.entropy)(
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
