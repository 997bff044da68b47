"""Distillation: what a teacher answers, or how likely it finds the student's own answers.

The teacher shares the base's tokenizer. It can be a run's last checkpoint: then the student learns
what that run found, by another way.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from datasets import Dataset
from transformers import PreTrainedModel
from trl import DistillationConfig, DistillationTrainer, SFTConfig, SFTTrainer

from alpharl.checkpoints.loaded import load_model
from alpharl.errors import StudyError
from alpharl.problems.tokenizers import load_tokenizer
from alpharl.training.lora import adapter_config
from alpharl.training.options import refuse, trainer_config
from alpharl.training.own_prompts import REFUSED, with_prompts
from alpharl.training.sampling import Row, Sampler, SamplingOptions, sampled_rows
from alpharl.training.setup import Setup
from alpharl.training.sft import DEFAULTS, imitated, imitation, question_indices

_INSTEAD = "which does nothing here; use 'teacher' of the run"
_WITHOUT = dict.fromkeys(
    ["teacher_model_name_or_path", "teacher_model_revision", "teacher_model_init_kwargs"], _INSTEAD
)


@dataclass
class TaughtConfig(SamplingOptions, SFTConfig):
    """TRL's options of supervised fine-tuning, and how the teacher's answers are sampled."""


def distill_trainer(setup: Setup) -> tuple[SFTTrainer, int]:
    """A trainer that imitates the teacher's samples, right or wrong: off-policy distillation.

    Sequence-level knowledge distillation (arXiv 1606.07947) on samples in place of the teacher's
    likeliest answers, so that the loss is, in expectation, the forward KL divergence from teacher
    to student plus the teacher's entropy.

    Raises:
        StudyError: `args` holds what SFTConfig does not take, or the teacher's tokenizer differs.
    """
    refuse(setup.spec, REFUSED)
    options = {"max_completion_length": setup.asking.questions.budget}
    config = trainer_config(TaughtConfig, setup, {**DEFAULTS, **options})
    teacher = _teacher(setup)

    def answers() -> list[Row]:
        indices = question_indices(setup, config)
        samples = Sampler(setup, _load(setup, teacher), config)(indices)
        return [imitated(setup, *pair) for pair in zip(indices, samples, strict=True)]

    rows, keep = sampled_rows(setup, teacher, answers)
    return imitation(setup, config, rows, keep), 1


def on_policy_distill_trainer(setup: Setup) -> tuple[DistillationTrainer, int]:
    """A trainer that pulls the student, on its own samples, towards the teacher's probabilities.

    By default along the reverse KL divergence, from student to teacher, summed over the vocabulary
    at every token of a sample (arXiv 2306.13649 with only the student's samples; `beta` 1).

    Raises:
        StudyError: `args` holds what DistillationConfig does not take, or the teacher does not fit.
    """
    defaults = {
        "per_device_train_batch_size": 256,
        "max_completion_length": setup.asking.questions.budget,
        "temperature": 1.0,
        "beta": 1.0,
    }
    refuse(setup.spec, _WITHOUT | REFUSED)
    config = trainer_config(DistillationConfig, setup, defaults)
    teacher = _load(setup, _teacher(setup))
    _check_width(setup, teacher)
    batch = config.train_batch_size * config.gradient_accumulation_steps * config.world_size
    indices = setup.asking.draw(setup.spec.seed, setup.spec.steps * batch)
    trainer = with_prompts(DistillationTrainer, setup.asking.prompts)(
        model=setup.model,
        teacher_model=teacher,
        args=config,
        train_dataset=Dataset.from_list([{"prompt": setup.asking.prompt(i)} for i in indices]),
        processing_class=setup.tokenizer,
        peft_config=adapter_config(setup),
    )
    return trainer, 1


def _teacher(setup: Setup) -> Path:
    """The teacher's folder, of which the tokenizer was checked."""
    if setup.teacher is None:
        raise StudyError(f"{setup.spec.algorithm}: found no teacher, expected a model folder")
    taught, tokenizer = load_tokenizer(setup.teacher).get_vocab(), setup.tokenizer
    if taught != tokenizer.get_vocab():
        raise StudyError(
            f"{setup.spec.algorithm}: found another tokenizer in the teacher {setup.teacher} "
            f"({len(taught)} tokens) than in the base ({len(tokenizer.get_vocab())} tokens), "
            "expected the same; take a teacher of the base's family"
        )
    return setup.teacher


def _load(setup: Setup, folder: Path) -> PreTrainedModel:
    return load_model(folder, getattr(torch, setup.spec.dtype))


def _check_width(setup: Setup, teacher: PreTrainedModel) -> None:
    """One tokenizer's models can still differ in how far they pad their vocabulary."""
    width, other = (m.config.get_text_config().vocab_size for m in (setup.model, teacher))
    if width != other:
        raise StudyError(
            f"{setup.spec.algorithm}: found {other} logits of the teacher {setup.teacher}, "
            f"expected {width} as of the base; take a teacher of that width, or algorithm "
            "'distill'"
        )
