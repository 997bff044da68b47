"""Supervised fine-tuning on right answers: the behaviour that RL finds, learned by imitation."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from alpharl.problems import PROBLEMS
from alpharl.study.training import TrainSpec
from alpharl.training.options import trainer_config
from alpharl.training.tokenizer import encode


def sft_trainer(
    spec: TrainSpec, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> SFTTrainer:
    """A trainer that imitates the problem's scratchpad, always right, on the training split.

    Raises:
        StudyError: `args` holds what SFTConfig does not take.
    """
    defaults = {"per_device_train_batch_size": 128, "train_sampling_strategy": "sequential"}
    config = trainer_config(SFTConfig, spec, defaults, folder)
    batch = config.train_batch_size * config.gradient_accumulation_steps * config.world_size
    # One pass over a list as long as the run, so that resuming needs no shuffling to be redone.
    examples = PROBLEMS[spec.problem].examples(spec.seed, direct_share=0.0, corrupted_share=0.0)
    texts = encode(list(islice(examples, spec.steps * batch)), tokenizer)
    rows = [{"input_ids": text.ids, "labels": text.labels} for text in texts]
    return SFTTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
