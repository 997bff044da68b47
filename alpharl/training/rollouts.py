"""What the policy says of completions that a trainer of TRL's GRPO family has just sampled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from trl.trainer.base_trainer import _BaseTrainer

Batch = dict[str, Any]
"""Sampled completions as the trainer's `_generate_and_score_completions` gives them."""


def logps_and_entropies(trainer: _BaseTrainer, batch: Batch) -> tuple[Tensor, Tensor]:
    """The current policy's log-probability of each token of a batch, and its entropy there.

    Returns:
        Both (completions, tokens), in nats, at the temperature of sampling; padding included.
    """
    prompt, completion = batch["prompt_ids"], batch["completion_ids"]
    with torch.no_grad():
        logps, entropies, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model,
            torch.cat([prompt, completion], dim=1),
            torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
            completion.shape[1],
            batch_size=trainer.args.per_device_train_batch_size,
            compute_entropy=True,
        )
    return logps, entropies
