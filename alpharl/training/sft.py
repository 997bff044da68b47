"""Supervised fine-tuning on right answers: the behaviour that RL finds, learned by imitation."""

from __future__ import annotations

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from alpharl.training.lora import adapter_config
from alpharl.training.options import trainer_config
from alpharl.training.setup import Setup
from alpharl.training.tokenizer import IGNORED


def sft_trainer(setup: Setup) -> tuple[SFTTrainer, int]:
    """A trainer that imitates the problem's solutions, always right, on the training split.

    Raises:
        StudyError: `args` holds what SFTConfig does not take, or `lora` what the base has not.
    """
    defaults = {"per_device_train_batch_size": 128, "train_sampling_strategy": "sequential"}
    config = trainer_config(SFTConfig, setup, defaults)
    batch = config.train_batch_size * config.gradient_accumulation_steps * config.world_size
    # One pass over a list as long as the run, so that resuming needs no shuffling to be redone.
    places = setup.asking.draw(setup.spec.seed, setup.spec.steps * batch)
    trainer = SFTTrainer(
        model=setup.model,
        args=config,
        train_dataset=Dataset.from_list([_row(setup, place) for place in places]),
        processing_class=setup.tokenizer,
        peft_config=adapter_config(setup),
    )
    return trainer, 1


def _row(setup: Setup, place: int) -> dict[str, list[int]]:
    """A question and its solution in tokens, with labels on the solution alone."""
    prompt, text = setup.asking.ids(place), setup.asking.questions.solution(place)
    tokenizer = setup.tokenizer
    solution = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    return {"input_ids": prompt + solution, "labels": [IGNORED] * len(prompt) + solution}
