"""Answers of one transformers model, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
    StopStringCriteria,
)

from alpharl.evaluation.engines.engine import Answer, Decoding, Prompt
from alpharl.evaluation.engines.seeded_sampling import SeededSampling

Mix = Callable[[Tensor], LogitsProcessor]
"""Makes a batch's own processor of logits from its attention mask."""


class Generation:
    """A model as a function of prompts and their decoding."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Any,
        ends: Sequence[int],
        batch_size: int,
        mix: Mix | None = None,
    ) -> None:
        """Note what generates.

        Args:
            model: its generation config names the end tokens and the padding.
            tokenizer: of the base.
            ends: tokens that end an answer.
            batch_size: prompts decoded at once.
            mix: where another model's logits are mixed in.
        """
        self._model, self._tokenizer, self._ends = model, tokenizer, ends
        self._batch_size, self._mix = batch_size, mix

    def __call__(
        self, prompts: Sequence[Prompt], decoding: Decoding
    ) -> Iterator[tuple[int, Answer]]:
        """Each prompt's index and answer, as its batch is done."""
        for batch in _batches(prompts, self._batch_size):
            answers = self._answers([prompts[i] for i in batch], decoding)
            yield from zip(batch, answers, strict=True)

    @torch.inference_mode()
    def _answers(self, prompts: list[Prompt], decoding: Decoding) -> list[Answer]:
        """Answers of one batch; all its prompts have the same budget."""
        model, budget = self._model, prompts[0].budget
        padding = model.generation_config.pad_token_id
        ids, mask = (given.to(model.device) for given in _left_padded(prompts, padding))
        processors = LogitsProcessorList([self._mix(mask)] if self._mix else [])
        if decoding.temperature > 0:
            processors.append(SeededSampling(decoding, [p.seed for p in prompts], budget))
        generated = model.generate(
            input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=budget,
            logits_processor=processors,
            stopping_criteria=self._stops(decoding.stop, ids.shape[1]),
        )  # fmt: skip
        rows = generated[:, ids.shape[1] :].tolist()
        return [self._answer(row, padding, decoding.stop) for row in rows]

    def _stops(self, stop: tuple[str, ...], prompt: int) -> StoppingCriteriaList:
        return StoppingCriteriaList([_AnswerStops(self._tokenizer, stop, prompt)] if stop else [])

    def _answer(self, row: list[int], padding: int, stop: tuple[str, ...]) -> Answer:
        """One answer from its tokens: up to its end of sequence, or to a stop string."""
        length = next((i for i, token in enumerate(row) if token in self._ends), None)
        text = self._tokenizer.decode(row[:length], skip_special_tokens=True)
        tokens = len(row) if length is None else length + 1
        stops = [at for at in map(text.find, stop) if at >= 0]
        if not stops:
            return Answer(text, tokens, finished=length is not None)
        while row[tokens - 1] == padding:
            tokens -= 1  # others in its batch went on
        return Answer(text[: min(stops)], tokens, finished=True)


class _AnswerStops(StoppingCriteria):
    """Stop strings in the answer alone; transformers' own would also match across its beginning."""

    def __init__(self, tokenizer: Any, stop: tuple[str, ...], prompt: int) -> None:
        self._criteria, self._prompt = StopStringCriteria(tokenizer, list(stop)), prompt

    def __call__(self, input_ids: Tensor, scores: Tensor, **given: Any) -> Tensor:
        stopped: Tensor = self._criteria(input_ids[:, self._prompt :], scores)
        return stopped


def _batches(prompts: Sequence[Prompt], size: int) -> Iterator[list[int]]:
    """Indices of prompts that are decoded together: of equal budget, the longest first."""

    def rank(index: int) -> tuple[int, int]:
        return -prompts[index].budget, -len(prompts[index].tokens)

    order = sorted(range(len(prompts)), key=rank)
    for _, group in groupby(order, key=lambda index: prompts[index].budget):
        same = list(group)
        yield from (same[start : start + size] for start in range(0, len(same), size))


def _left_padded(prompts: list[Prompt], padding: int) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both (batch, longest)."""
    longest = max(len(prompt.tokens) for prompt in prompts)
    ids = [[padding] * (longest - len(p.tokens)) + list(p.tokens) for p in prompts]
    mask = [[0] * (longest - len(p.tokens)) + [1] * len(p.tokens) for p in prompts]
    return torch.tensor(ids), torch.tensor(mask)
