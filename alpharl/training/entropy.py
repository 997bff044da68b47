"""Entropy-controlled sampling (Entrocraft, arXiv 2604.26326), for trainers of TRL's GRPO family.

Completions with a positive advantage lower the policy's entropy, those with a negative one raise
it. While the entropy lies outside a band, those that would drive it further away are left out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from alpharl.training.recipe import EntropyBand
from alpharl.training.rollouts import Batch, logps_and_entropies

# Losses that divide by the number of completions, whether or not these take part.
_MEANS_OF_COMPLETIONS = ("grpo", "dr_grpo", "sapo", "luspo")


def edges(band: EntropyBand, step: int, steps: int) -> tuple[float, float]:
    """The band's edges, in nats per token, for the optimizer step `step` (from 0) of `steps`."""
    way = step / max(1, steps - 1)
    low, high = (a + (b - a) * way for a, b in (band.low, band.high))
    return low, high


def takes_part(
    advantages: Tensor, mask_bt: Tensor, entropy: float, low: float, high: float
) -> Tensor:
    """Which completions are kept at a batch's entropy, (B,) of bool.

    With m = 1 above the band, -1 below it, 0 inside, those with m A >= 0. Of advantages that
    differ by token, a completion's is their mean.

    Args:
        advantages: (B,) or (B, T).
        mask_bt: 1 on the completions' tokens.
        entropy: mean over the batch's tokens, in nats.
        low: lower edge of the band.
        high: upper edge.
    """
    if advantages.dim() == 2:
        advantages = (advantages * mask_bt).sum(1) / mask_bt.sum(1).clamp(min=1)
    direction = int(entropy > high) - int(entropy < low)
    return direction * advantages >= 0


def with_entropy_band(trainer: type, band: EntropyBand | None) -> type:
    """The trainer's class, holding the policy's entropy in a band if there is one."""
    if band is None:
        return trainer
    return type(trainer.__name__, (_InBand, trainer), {"band": band})


class _InBand:
    """Mixed into a trainer: leaves completions out of the loss and of what it is divided by.

    The entropy in the log is the one that decides: of the policy on all completions of the batch,
    when they were sampled.
    """

    band: EntropyBand

    def _generate_and_score_completions(self: Any, inputs: list[dict[str, Any]]) -> Batch:
        batch: Batch = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        if not self.model.training:
            return batch
        mask = batch["completion_mask"]
        self._entropy = self._mean((logps_and_entropies(self, batch)[1] * mask).sum(), mask.sum())
        low, high = edges(self.band, self.state.global_step, self.args.max_steps)
        counted = takes_part(batch["advantages"], mask, self._entropy, low, high)
        # To the loss, a completion without tokens is none.
        batch["completion_mask"] = mask * counted.unsqueeze(1)
        for name in ("advantages", "old_logps"):  # the latter is RLOO's, of whole completions
            if name in batch:
                batch[name] = batch[name] * counted.view(-1, *[1] * (batch[name].dim() - 1))
        if "num_items_in_batch" in batch:
            tokens = batch["completion_mask"].sum()
            batch["num_items_in_batch"] = self.accelerator.reduce(tokens, reduction="sum")
        self._kept_share = self._mean(
            counted.sum(), torch.tensor(len(counted), device=counted.device)
        )
        self._metrics["train"]["entropy/kept"].append(self._kept_share)
        return batch

    def _compute_loss(self: Any, model: Any, inputs: Batch) -> Tensor:
        loss: Tensor = super()._compute_loss(model, inputs)  # type: ignore[misc]
        if not self.model.training:
            return loss
        self._metrics["train"]["entropy"][-1] = self._entropy
        if getattr(self, "loss_type", "grpo") in _MEANS_OF_COMPLETIONS and self._kept_share:
            loss = loss / self._kept_share
        return loss

    def _mean(self: Any, total: Tensor, count: Tensor) -> float:
        """A mean over all processes."""
        sums = torch.stack([total.double(), count.double()])
        total, count = self.accelerator.reduce(sums, reduction="sum").tolist()
        return float(total / count)
