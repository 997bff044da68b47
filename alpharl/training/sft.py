"""Supervised fine-tuning on right answers: the behaviour that RL finds, learned by imitation."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from alpharl.problems.prompts import require_room
from alpharl.problems.tokenizers import require_known
from alpharl.training.lora import adapter_config
from alpharl.training.options import refuse, trainer_config
from alpharl.training.own_prompts import REFUSED, require_uncut
from alpharl.training.sampling import Row
from alpharl.training.setup import Setup
from alpharl.training.tokenizer import IGNORED

DEFAULTS: dict[str, Any] = {
    "per_device_train_batch_size": 128,
    "train_sampling_strategy": "sequential",
    "max_length": None,  # nothing is cut
}


def sft_trainer(setup: Setup) -> tuple[SFTTrainer, int]:
    """A trainer that imitates the problem's solutions, always right, on the training split.

    Raises:
        StudyError: `args` holds what SFTConfig does not take, or `lora` what the base has not.
    """
    refuse(setup.spec, REFUSED)
    config = trainer_config(SFTConfig, setup, DEFAULTS)
    indices = question_indices(setup, config)
    rows = [imitated(setup, index, _solution(setup, index)) for index in indices]
    return imitation(setup, config, rows), 1


def question_indices(setup: Setup, config: SFTConfig) -> list[int]:
    """The question of each example of the run.

    One pass over a list as long as the run, so that resuming needs no shuffling to be redone.
    """
    batch = config.train_batch_size * config.gradient_accumulation_steps * config.world_size
    return setup.asking.draw(setup.spec.seed, setup.spec.steps * batch)


def imitated(setup: Setup, index: int, completion: list[int]) -> Row:
    """A question and its completion in tokens, with labels on the completion alone."""
    prompt = setup.asking.ids(index)
    return {"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion}


def imitation(
    setup: Setup, config: SFTConfig, rows: list[Row], *also: TrainerCallback
) -> SFTTrainer:
    """A trainer that makes the labels of these rows more likely.

    Raises:
        StudyError: `max_length` of the run's `args` would cut a row.
    """
    require_uncut([row["input_ids"] for row in rows], config.max_length)
    longest = max(len(row["input_ids"]) for row in rows)
    positions = getattr(setup.model.config.get_text_config(), "max_position_embeddings", None)
    require_room(longest, 0, positions, f"{setup.spec.algorithm}, with its completion", "")
    return SFTTrainer(
        model=setup.model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=setup.tokenizer,
        peft_config=adapter_config(setup),
        callbacks=list(also),
    )


def _solution(setup: Setup, index: int) -> list[int]:
    tokenizer = setup.tokenizer
    text = setup.asking.questions.solution(index)
    tokens = tokenizer.encode(text, add_special_tokens=False)
    require_known(tokens, tokenizer, setup.asking.prompts.rows)
    return [*tokens, tokenizer.eos_token_id]
