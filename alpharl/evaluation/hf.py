"""The `hf` engine: transformers and PEFT, one process for many models of one base."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
    StopStringCriteria,
)
from transformers.utils import logging as hf_logging

from alpharl.checkpoints.adapter import is_adapter
from alpharl.checkpoints.reader import best_device
from alpharl.evaluation.end_tokens import end_tokens
from alpharl.evaluation.engine import Answer, Decoding, Generate, Prompt
from alpharl.evaluation.logits import MixedLogits
from alpharl.evaluation.sampling import SeededSampling
from alpharl.variants.adapters import adapter_checkpoint
from alpharl.variants.build import build_dense
from alpharl.variants.store import Variant

hf_logging.set_verbosity_error()
hf_logging.disable_progress_bar()

Mix = Callable[[Tensor], LogitsProcessor]
"""Makes a batch's own processor of logits from its attention mask."""


class HfEngine:
    """Holds a base; answers as the base with an adapter on it, or as another model of its kind."""

    def __init__(self, base: Path, dtype: str, batch_size: int) -> None:
        """Load the base and its tokenizer.

        Args:
            base: model folder of step 0; its tokenizer and its end tokens serve all checkpoints.
            dtype: name of a torch dtype.
            batch_size: prompts decoded at once.
        """
        self.versions = {name: version(name) for name in ("torch", "transformers", "peft")}
        self._dtype, self._batch_size = getattr(torch, dtype), batch_size
        self.tokenizer, self._ends = AutoTokenizer.from_pretrained(base), end_tokens(base)
        self._folder, self._base = base.absolute(), self._load(base)

    def close(self) -> None:
        """Nothing outlives the object."""

    @contextmanager
    def model(self, source: Path | Variant) -> Iterator[Generate]:
        """The model of a folder or a variant, for as long as the context lasts.

        A line through the logits of two checkpoints has both in memory beside the base.
        """
        if isinstance(source, Variant) and source.logits:
            line = source.logits
            earlier, later = (self._load(source.checkpoints[step]) for step in (line.a, line.b))
            yield self._generator(later, lambda mask: MixedLogits(earlier, line.beta, mask))
        else:
            with self.weights(source) as model:
                yield self._generator(model)

    @contextmanager
    def weights(self, source: Path | Variant) -> Iterator[PreTrainedModel]:
        """The same as a transformers model, of all variants that are one.

        An adapter is put on the loaded base and taken off again. Anything with a blend is built
        as a dense model in a temporary folder, loaded, and deleted at once.
        """
        if isinstance(source, Path):
            yield self._base if source.absolute() == self._folder else self._load(source)
        elif source.pure_adapter:
            adapted = PeftModel.from_pretrained(self._base, source.adapter)
            try:
                yield adapted.base_model.model
            finally:
                self._base = adapted.unload()
        else:
            yield self._built(source)

    def _built(self, source: Variant) -> PreTrainedModel:
        """The model of a variant, by way of a temporary folder."""
        with tempfile.TemporaryDirectory(prefix="alpharl-") as folder:
            build_dense(source, Path(folder) / "model")
            return self._load(Path(folder) / "model")

    def _load(self, folder: Path) -> PreTrainedModel:
        if is_adapter(folder):
            return self._built(adapter_checkpoint(folder, self._folder, merged=True))
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=self._dtype, use_safetensors=True
        )
        # How a model decodes is the suite's business: penalties and temperatures that it was
        # published with go.
        model.generation_config = GenerationConfig(
            eos_token_id=self._ends or None, pad_token_id=self._padding()
        )
        # A trainer may have saved its own setting; generation without a cache is only slower.
        model.config.use_cache = True
        return model.to(best_device()).eval()

    def _padding(self) -> int:
        padding = self.tokenizer.pad_token_id
        return int(padding) if padding is not None else [*self._ends, 0][0]

    def _generator(self, model: PreTrainedModel, mix: Mix | None = None) -> Generate:
        def generate(prompts: Sequence[Prompt], decoding: Decoding) -> Iterator[tuple[int, Answer]]:
            for batch in _batches(prompts, self._batch_size):
                asked = [prompts[i] for i in batch]
                yield from zip(batch, self._answers(model, asked, decoding, mix), strict=True)

        return generate

    @torch.inference_mode()
    def _answers(
        self, model: PreTrainedModel, prompts: list[Prompt], decoding: Decoding, mix: Mix | None
    ) -> list[Answer]:
        """Answers of one batch; all its prompts have the same budget."""
        config, budget = model.generation_config, prompts[0].budget
        ids, mask = _left_padded(prompts, config.pad_token_id)
        ids, mask = ids.to(model.device), mask.to(model.device)
        processors = LogitsProcessorList([mix(mask)] if mix else [])
        if decoding.temperature > 0:
            processors.append(SeededSampling(decoding, [p.seed for p in prompts], budget))
        found = model.generate(
            input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=budget,
            logits_processor=processors,
            stopping_criteria=self._stops(decoding.stop, ids.shape[1]),
        )  # fmt: skip
        rows = found[:, ids.shape[1] :].tolist()
        return [self._answer(row, config.pad_token_id, decoding.stop) for row in rows]

    def _stops(self, stop: tuple[str, ...], prompt: int) -> StoppingCriteriaList:
        return StoppingCriteriaList([_AnswerStops(self.tokenizer, stop, prompt)] if stop else [])

    def _answer(self, row: list[int], padding: int, stop: tuple[str, ...]) -> Answer:
        """One answer from its tokens: up to its end of sequence, or to a stop string."""
        length = next((i for i, token in enumerate(row) if token in self._ends), None)
        text = self.tokenizer.decode(row[:length], skip_special_tokens=True)
        tokens = len(row) if length is None else length + 1
        places = [place for place in map(text.find, stop) if place >= 0]
        if not places:
            return Answer(text, tokens, finished=length is not None)
        while row[tokens - 1] == padding:
            tokens -= 1  # others in its batch went on
        return Answer(text[: min(places)], tokens, finished=True)


class _AnswerStops(StoppingCriteria):
    """Stop strings in the answer alone; transformers' own would also match across its beginning."""

    def __init__(self, tokenizer: Any, stop: tuple[str, ...], prompt: int) -> None:
        self._criteria, self._prompt = StopStringCriteria(tokenizer, list(stop)), prompt

    def __call__(self, input_ids: Tensor, scores: Tensor, **given: Any) -> Tensor:
        found: Tensor = self._criteria(input_ids[:, self._prompt :], scores)
        return found


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
