"""REINFORCE++ (arXiv 2501.03262): no critic, no groups, advantages normalised over the batch.

TRL has no trainer for it. What it shares with GRPO (sampling, rewards, the clipped loss per token)
stays TRL's; the advantages are made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from trl import GRPOConfig, GRPOTrainer

from alpharl.training.rollouts import Batch, logps_and_entropies


@dataclass
class ReinforceConfig(GRPOConfig):
    """GRPOConfig with one completion for each question, as published; more are no group either."""

    num_generations: int = 1

    def __post_init__(self) -> None:
        """Check the options as GRPOConfig does, but let the number of completions be one.

        GRPOConfig wants two, since its advantages compare them.
        """
        wanted = self.num_generations
        self.num_generations = 2 if wanted == 1 else wanted
        super().__post_init__()
        self.num_generations = wanted


class ReinforceTrainer(GRPOTrainer):
    """GRPOTrainer with the advantages of REINFORCE++, one for each token."""

    beta: float

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        """Rewards of all processes' completions, (N, functions); kept for the advantages."""
        rewards: Tensor = super()._calculate_rewards(*args, **kwargs)
        self._rewards = (rewards * self.reward_weights.to(rewards.device)).nansum(dim=1)
        return rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Batch:
        batch: Batch = super()._generate_and_score_completions(inputs)
        mask = batch["completion_mask"]
        start = self.accelerator.process_index * len(mask)
        rewards = self._rewards[start : start + len(mask)]
        to_go = rewards_to_go(rewards, self._penalty(batch) if self.beta else None, mask)
        batch["advantages"] = self._normalised(to_go, mask).to(torch.float32)
        return batch

    def _penalty(self, batch: Batch) -> Tensor:
        """What each token's divergence from the reference takes off its reward, (B, T).

        The estimate is k1: the token's log-probability less the reference's.
        """
        old = batch.get("old_per_token_logps")
        if old is None:  # TRL leaves it out while completions serve one optimizer step
            old = logps_and_entropies(self, batch)[0]
        kl: Tensor = old - batch["ref_per_token_logps"]
        mask = batch["completion_mask"]
        total, count = self._sums((kl * mask).sum(), mask.sum())
        self._metrics["train" if self.model.training else "eval"]["kl"].append(total / count)
        return self.beta * kl

    def _normalised(self, values_bt: Tensor, mask_bt: Tensor) -> Tensor:
        """Zero mean and unit deviation over the completions' tokens of all processes."""
        masked = values_bt.double() * mask_bt
        total, squares, count = self._sums(masked.sum(), masked.square().sum(), mask_bt.sum())
        mean = total / count
        deviation = max(squares / count - mean**2, 0.0) ** 0.5
        normal: Tensor = (masked - mean) / (deviation + 1e-8) * mask_bt
        return normal

    def _sums(self, *values: Tensor) -> list[float]:
        """Sums over the processes."""
        stacked = torch.stack([value.double() for value in values])
        summed: list[float] = self.accelerator.reduce(stacked, reduction="sum").tolist()
        return summed

    def _compute_loss(self, model: Any, inputs: Batch) -> Tensor:
        """The clipped loss alone: the penalty on divergence is in the advantages."""
        beta, self.beta = self.beta, 0.0
        try:
            loss: Tensor = super()._compute_loss(model, inputs)
        finally:
            self.beta = beta
        return loss


def rewards_to_go(rewards_b: Tensor, penalties_bt: Tensor | None, mask_bt: Tensor) -> Tensor:
    """Sum of the rewards from each token on, (B, T), zero in padding: equation 8 of the paper.

    The outcome's reward comes with the last token; each token pays its penalty, if there are any.
    """
    to_go = rewards_b.unsqueeze(1) * mask_bt
    if penalties_bt is not None:
        paid = penalties_bt * mask_bt
        to_go = (to_go - paid.flip(1).cumsum(1).flip(1)) * mask_bt
    return to_go
