"""Right answers preferred to wrong ones: DPO and online DPO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alpharl.training.algorithm import TrainerAlgorithm

if TYPE_CHECKING:
    from transformers import Trainer

    from alpharl.training.setup import Setup


class Dpo(TrainerAlgorithm):
    """Direct preference optimization: right answers preferred to wrong ones, in pairs that are
    sampled from the base when the run begins."""

    name = "dpo"
    source = "arXiv 2305.18290"
    args = (
        "trl.DPOConfig", "num_generations", "temperature", "max_completion_length",
        "generation_batch_size",
    )  # fmt: skip

    def trainer(self, setup: Setup) -> tuple[Trainer, int]:
        """TRL's DPOTrainer on the base's own pairs."""
        from alpharl.training.dpo import dpo_trainer

        return dpo_trainer(setup)


class OnlineDpo(TrainerAlgorithm):
    """As `dpo`, but on pairs that the policy samples at each step; equal rewards make no pair."""

    name = "online-dpo"
    source = "arXiv 2402.04792"
    args = ("trl.experimental.online_dpo.OnlineDPOConfig",)

    def trainer(self, setup: Setup) -> tuple[Trainer, int]:
        """Ours, on TRL's OnlineDPOTrainer."""
        from alpharl.training.online_dpo import online_dpo_trainer

        return online_dpo_trainer(setup)
