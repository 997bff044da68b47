"""Sampling in which each answer has random numbers of its own, whatever runs next to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from alpharl.evaluation.engines.engine import Decoding


class SeededSampling(LogitsProcessor):
    """Leaves only the sampled token possible, so that `generate` takes it without drawing.

    transformers draws all rows of a batch from one generator: an answer then depends on what else
    is in its batch. Here row i at step t uses the t-th uniform number of its own generator, and
    takes the token at which the cumulated probabilities pass it.
    """

    def __init__(self, decoding: Decoding, seeds: Sequence[int], steps: int) -> None:
        """Draw the uniform numbers.

        Args:
            decoding: temperature above 0, top_p, top_k.
            seeds: of each row of the batch.
            steps: tokens that an answer can have at most.
        """
        rows = [np.random.Generator(np.random.Philox(seed)).random(steps) for seed in seeds]
        self._uniform_bt = torch.from_numpy(np.stack(rows))
        self._step = 0
        self._warpers = LogitsProcessorList([TemperatureLogitsWarper(decoding.temperature)])
        if decoding.top_k:
            self._warpers.append(TopKLogitsWarper(decoding.top_k))
        if decoding.top_p < 1:
            self._warpers.append(TopPLogitsWarper(decoding.top_p))

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Take the next token of each row.

        Args:
            input_ids: (batch, length) prompts and answers so far.
            scores: (batch, vocabulary) logits.
        """
        warped: Tensor = self._warpers(input_ids, scores.float())
        cumulated = warped.softmax(-1, dtype=torch.float64).cumsum(-1)
        drawn = self._uniform_bt[:, self._step, None].to(scores.device) * cumulated[:, -1:]
        self._step += 1
        token = torch.searchsorted(cumulated, drawn, right=True).clamp_max(scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, token, 0.0)
