"""Direct preference optimization (DPO, arXiv 2305.18290) on the base's own right and wrong answers.

The pairs are made before the run starts: the base samples completions of the training questions,
and a right one is paired with a wrong one of the same question. So both come from the policy that
the loss takes as its reference, as the paper asks where the preference data are one's own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from accelerate import PartialState
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from alpharl.errors import StudyError
from alpharl.training.lora import adapter_config
from alpharl.training.options import trainer_config
from alpharl.training.own_prompts import require_uncut
from alpharl.training.sampling import Row, Sampler, SamplingOptions, sampled_rows
from alpharl.training.setup import Setup

_LEAST_YIELD = 16
"""A base that gives less than one pair for so many questions is refused."""

_COMPLETIONS = ("chosen_ids", "rejected_ids")


@dataclass
class PairsConfig(SamplingOptions, DPOConfig):
    """TRL's options of DPO, and how the pairs are sampled."""

    num_generations: int = field(default=8, metadata={"help": "Samples of each question."})

    def __post_init__(self) -> None:
        """Refuse a number of samples that gives no pair."""
        super().__post_init__()
        if self.num_generations < 2:
            raise ValueError(f"found num_generations {self.num_generations}, expected 2 or more")


class PairsTrainer(DPOTrainer):
    """Takes pairs in tokens as they were sampled.

    TRL's own trainer takes text, which it tokenizes again, and to which it adds an end token even
    where the sample was cut short.
    """

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


def dpo_trainer(setup: Setup) -> tuple[DPOTrainer, int]:
    """A trainer that prefers right answers of the base to wrong ones.

    Raises:
        StudyError: `args` holds what DPOConfig does not take, or the base gives too few pairs.
    """
    defaults = {
        "per_device_train_batch_size": 64,
        "train_sampling_strategy": "sequential",
        "max_length": None,  # nothing is cut
        "max_completion_length": setup.asking.questions.budget,
    }
    config = trainer_config(PairsConfig, setup, defaults)
    batch = config.train_batch_size * config.gradient_accumulation_steps * config.world_size
    # One pass over a list as long as the run, so that resuming needs no shuffling to be redone.
    rows, keep = sampled_rows(
        setup, setup.base, lambda: _pairs(setup, config, setup.spec.steps * batch)
    )
    completed = (row["prompt_ids"] + row[kind] for row in rows for kind in _COMPLETIONS)
    require_uncut(list(completed), config.max_length)
    trainer = PairsTrainer(
        model=setup.model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=setup.tokenizer,
        peft_config=adapter_config(setup),
        callbacks=[keep],
    )
    return trainer, 1


def _pairs(setup: Setup, config: PairsConfig, count: int) -> list[Row]:
    """So many pairs, in the order of the questions."""
    sampler = Sampler(setup, setup.model, config)
    indices = setup.asking.draw(setup.spec.seed, _LEAST_YIELD * count)
    size = max(1, config.generation_batch_size * config.world_size // config.num_generations)
    rows: list[Row] = []
    tried = gave = 0
    while len(rows) < count and tried < len(indices):
        batch = indices[tried : tried + size]
        tried += len(batch)
        for pairs in _graded(setup, sampler, batch, config.num_generations):
            gave += bool(pairs)
            rows += pairs
    if len(rows) < count:
        raise StudyError(
            f"dpo: found {len(rows)} pairs of a right and a wrong completion in {tried} questions "
            f"asked {config.num_generations} times, expected {count} (steps x batch); take a base "
            "that is right now and then, or an easier problem"
        )
    if PartialState().is_main_process:
        print(
            f"dpo: {gave} of {tried} questions, asked {config.num_generations} times, gave "
            f"{len(rows)} pairs; {count} are used",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    return rows[:count]


def _graded(setup: Setup, sampler: Sampler, indices: list[int], times: int) -> list[list[Row]]:
    """The pairs of each question: its first right sample with its first wrong one, and so on."""
    repeated = [index for index in indices for _ in range(times)]
    samples = sampler(repeated)
    texts = setup.tokenizer.batch_decode(samples, skip_special_tokens=True)
    rewards = setup.asking.rewards(repeated, texts)
    questions = []
    for i, index in enumerate(indices):
        mine = range(i * times, (i + 1) * times)
        right = [samples[j] for j in mine if rewards[j]]
        wrong = [samples[j] for j in mine if not rewards[j]]
        prompt = setup.asking.ids(index)
        questions.append(
            [
                {"prompt_ids": prompt, "chosen_ids": good, "rejected_ids": bad}
                for good, bad in zip(right, wrong, strict=False)
            ]
        )
    return questions
