"""The `hf` engine: transformers through lm-eval's HFLM, one process for many models of one base."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from peft import PeftModel
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LogitsProcessorList,
    PreTrainedModel,
    RepetitionPenaltyLogitsProcessor,
)
from transformers.utils import logging as hf_logging

from alpharl.checkpoints.reader import best_device
from alpharl.evaluation.logits import MixedLogits
from alpharl.variants.build import build_dense
from alpharl.variants.store import Variant

hf_logging.set_verbosity_error()
hf_logging.disable_progress_bar()
logging.getLogger("lm_eval").setLevel(logging.ERROR)


class _QuietLM(HFLM):
    """HFLM without its bar, which no environment variable turns off."""

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Generate as HFLM does."""
        answers: list[str] = super().generate_until(requests, disable_tqdm=disable_tqdm)
        return answers


class _PairLM(_QuietLM):
    """A model whose logits are mixed with those of an earlier one, token by token."""

    def __init__(self, earlier: PreTrainedModel, beta: float, **given: Any) -> None:
        super().__init__(**given)
        self._earlier, self._beta = earlier, beta

    def _model_generate(
        self, context: Tensor, max_length: int, stop: list[str], **given: Any
    ) -> Tensor:
        mask = given["attention_mask"]
        processors = LogitsProcessorList([MixedLogits(self._earlier, self._beta, mask)])
        penalty = self.model.generation_config.repetition_penalty
        if penalty not in (None, 1.0):
            # transformers would apply it before ours: to one model's logits instead of the mix.
            padding = mask.int().argmax(dim=1)
            processors.append(RepetitionPenaltyLogitsProcessor(penalty, padding))
            given["repetition_penalty"] = 1.0
        found: Tensor = super()._model_generate(
            context, max_length, stop, logits_processor=processors, **given
        )
        return found


class HfEngine:
    """Holds a base; scores the base with an adapter on it, or any other model of the same kind."""

    def __init__(self, base: Path, dtype: str, batch_size: int) -> None:
        """Load the base and its tokenizer.

        Args:
            base: model folder of step 0; its tokenizer serves all checkpoints.
            dtype: name of a torch dtype.
            batch_size: prompts decoded at once.
        """
        self._dtype, self._batch_size = getattr(torch, dtype), batch_size
        self._tokenizer = AutoTokenizer.from_pretrained(base)
        self._base = self._load(base)

    @contextmanager
    def model(self, source: Path | Variant) -> Iterator[HFLM]:
        """The lm-eval model of a model folder or a variant, for as long as the context lasts.

        An adapter is put on the loaded base and taken off again. Anything with a blend is built
        as a dense model in a temporary folder, loaded, and deleted at once. A line through the
        logits of two checkpoints has both in memory beside the base.
        """
        if isinstance(source, Path):
            yield self._wrap(self._load(source))
        elif source.logits:
            line = source.logits
            earlier, later = (self._load(source.checkpoints[step]) for step in (line.a, line.b))
            yield _PairLM(earlier, line.beta, **self._settings(later))
        elif source.pure_adapter:
            adapted = PeftModel.from_pretrained(self._base, source.adapter)
            try:
                yield self._wrap(adapted.base_model.model)
            finally:
                self._base = adapted.unload()
        else:
            with tempfile.TemporaryDirectory(prefix="alpharl-") as folder:
                build_dense(source, Path(folder) / "model")
                built = self._load(Path(folder) / "model")
            yield self._wrap(built)

    def answer_tokens(self, answer: str) -> int:
        """Number of tokens of an answer, as the tokenizer writes it."""
        return len(self._tokenizer.encode(answer, add_special_tokens=False))

    def _load(self, folder: Path) -> PreTrainedModel:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=self._dtype, use_safetensors=True
        )
        # A trainer may have saved its own setting; generation without a cache is only slower.
        model.config.use_cache = model.generation_config.use_cache = True
        return model.to(best_device()).eval()

    def _wrap(self, model: PreTrainedModel) -> HFLM:
        return _QuietLM(**self._settings(model))

    def _settings(self, model: PreTrainedModel) -> dict[str, Any]:
        return {"pretrained": model, "tokenizer": self._tokenizer, "batch_size": self._batch_size}
