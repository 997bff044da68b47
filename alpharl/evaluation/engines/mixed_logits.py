"""A line through two models' logits at every decoding step (RLVR-Linearity, arXiv 2601.04537)."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedModel


class MixedLogits(LogitsProcessor):
    """(1 - beta) l_a + beta l_b: l_b of the model that generates, l_a of one that reads along.

    Model a keeps its own cache of keys and values, so an object serves one call of `generate`, and
    none that searches with beams.
    """

    def __init__(self, earlier: PreTrainedModel, beta: float, attention_mask: Tensor) -> None:
        """Begin.

        Args:
            earlier: model a; on the same device as b, with the same tokens.
            beta: 0 is model a, 1 is model b, more is beyond b.
            attention_mask: (batch, length) of the prompts: 0 where one is padded on the left.
        """
        self._earlier, self._beta, self._mask = earlier, beta, attention_mask
        self._cache, self._read = None, 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Mix the logits of the next token.

        Args:
            input_ids: (batch, length) prompts and what was generated of the answers.
            scores: (batch, vocabulary) logits of model b.
        """
        new = input_ids.shape[1] - self._mask.shape[1]
        self._mask = torch.nn.functional.pad(self._mask, (0, new), value=1)
        # As `generate` numbers them: from the first token of each prompt, not from the padding.
        positions = (self._mask.long().cumsum(-1) - 1).clamp_min(0)
        read = self._earlier(
            input_ids=input_ids[:, self._read :],
            attention_mask=self._mask,
            position_ids=positions[:, self._read :],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache, self._read = read.past_key_values, input_ids.shape[1]
        mixed: Tensor = (1 - self._beta) * read.logits[:, -1].float() + self._beta * scores
        return mixed
