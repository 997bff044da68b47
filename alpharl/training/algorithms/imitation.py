"""Imitation of right answers, or of a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alpharl.training.algorithm import TrainerAlgorithm

if TYPE_CHECKING:
    from transformers import Trainer

    from alpharl.training.setup import Setup


class Sft(TrainerAlgorithm):
    """Supervised fine-tuning: imitation of right answers."""

    name = "sft"
    samples = False
    args = ("trl.SFTConfig",)

    def trainer(self, setup: Setup) -> tuple[Trainer, int]:
        """TRL's SFTTrainer on the problem's solutions."""
        from alpharl.training.sft import sft_trainer

        return sft_trainer(setup)


class Distill(TrainerAlgorithm):
    """Imitation of what a teacher samples, right or wrong."""

    name = "distill"
    source = "arXiv 1606.07947"
    args = ("trl.SFTConfig", "temperature", "max_completion_length", "generation_batch_size")
    teacher = True

    def trainer(self, setup: Setup) -> tuple[Trainer, int]:
        """TRL's SFTTrainer on the teacher's samples."""
        from alpharl.training.distill import distill_trainer

        return distill_trainer(setup)


class OnPolicyDistill(TrainerAlgorithm):
    """The run's own samples, pulled towards the teacher's probability of each token."""

    name = "on-policy-distill"
    source = "arXiv 2306.13649"
    args = ("trl.DistillationConfig",)
    teacher = True

    def trainer(self, setup: Setup) -> tuple[Trainer, int]:
        """TRL's DistillationTrainer."""
        from alpharl.training.distill import on_policy_distill_trainer

        return on_policy_distill_trainer(setup)
