"""The `hf` engine: transformers and PEFT, one process for many models of one base."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from alpharl.errors import EvaluationError
from alpharl.evaluation.engines.engine import Generate
from alpharl.evaluation.engines.settings import EngineSettings
from alpharl.scratch import scratch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from alpharl.variants.store import Variant


class Hf(EngineSettings):
    """Transformers and PEFT in this process, with adapters put on one loaded base."""

    engine: Literal["hf"] = "hf"

    seed_note = (
        "each answer has random numbers of its own, so it does not depend on what is scored "
        "beside it; another batch size may still turn a near tie by rounding"
    )
    mixes_logits = True

    @property
    def answer_settings(self) -> dict[str, Any]:
        """Engine and precision.

        With what once were the arguments of vLLM for all engines, so that older results count.
        """
        return {**super().answer_settings, "vllm": {}}

    def open(self, base: Path, longest: int, gpus: int, rank: int) -> HfEngine:
        """Load the base and its tokenizer."""
        return HfEngine(base, self.dtype, self.batch_size)


class HfEngine:
    """Holds a base; answers as the base with an adapter on it, or as another model of its kind."""

    def __init__(self, base: Path, dtype: str, batch_size: int) -> None:
        """Load the base and its tokenizer.

        Args:
            base: model folder of step 0; its tokenizer and its end tokens serve all checkpoints.
            dtype: name of a torch dtype.
            batch_size: prompts decoded at once.
        """
        import torch
        from transformers.utils import logging

        from alpharl.evaluation.engines.end_tokens import end_tokens
        from alpharl.problems.tokenizers import load_tokenizer

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        self.versions = {name: version(name) for name in ("torch", "transformers", "peft")}
        self._dtype, self._batch_size = getattr(torch, dtype), batch_size
        self.tokenizer = load_tokenizer(base)
        self._ends = end_tokens(base, self.tokenizer)
        self._folder = base.absolute()
        self._base = self._load(self._folder)

    def close(self) -> None:
        """Nothing outlives the object."""

    @contextmanager
    def model(self, source: Path | Variant) -> Iterator[Generate]:
        """The model of a folder or a variant, for as long as the context lasts.

        A line through the logits of two checkpoints has both in memory next to the base.
        """
        from alpharl.evaluation.engines.generation import Generation
        from alpharl.evaluation.engines.mixed_logits import MixedLogits

        shared = self.tokenizer, self._ends, self._batch_size
        if isinstance(source, Path) or not source.logits:
            with self.weights(source) as model:
                yield Generation(model, *shared)
        else:
            line = source.logits
            earlier, later = (self._load(source.checkpoints[step]) for step in (line.a, line.b))
            _require_same_tokens(source, earlier, later)
            yield Generation(later, *shared, lambda mask: MixedLogits(earlier, line.beta, mask))

    @contextmanager
    def weights(self, source: Path | Variant) -> Iterator[PreTrainedModel]:
        """The same as a transformers model, of all variants that are one.

        An adapter is put on the loaded base and taken off again. Anything with a blend is built
        as a dense model in a temporary folder, loaded, and deleted at once.
        """
        if isinstance(source, Path):
            yield self._base if source.absolute() == self._folder else self._load(source)
        elif source.pure_adapter and source.adapter:
            from alpharl.evaluation.engines.put_on import put_on

            adapted = put_on(self._base, source.adapter)
            try:
                yield adapted.base_model.model
            finally:
                self._base = adapted.unload()
        else:
            yield self._built(source)

    def _built(self, source: Variant) -> PreTrainedModel:
        """The model of a variant, by way of a temporary folder."""
        from alpharl.variants.build import build_dense

        with scratch("model") as folder:
            build_dense(source, folder / "model")
            return self._load(folder / "model")

    def _load(self, folder: Path) -> PreTrainedModel:
        from transformers import GenerationConfig

        from alpharl.checkpoints.adapter import is_adapter
        from alpharl.checkpoints.loaded import load_model
        from alpharl.checkpoints.reader import best_device
        from alpharl.problems.tokenizers import padding_token
        from alpharl.variants.adapters import adapter_checkpoint

        if is_adapter(folder):
            return self._built(adapter_checkpoint(folder, self._folder, merged=True))
        model = load_model(folder, self._dtype, self._folder)
        if folder != self._folder:
            self._require_tokens(folder, _tokens(model))
        # How a model decodes is the suite's business: penalties and temperatures that it was
        # published with go.
        rows = model.get_input_embeddings().weight.shape[0]
        padding = padding_token(self.tokenizer, self._ends, rows)
        model.generation_config = GenerationConfig(
            eos_token_id=self._ends or None, pad_token_id=padding
        )
        # A trainer may have saved its own setting; generation without a cache is only slower.
        model.config.use_cache = True
        return model.to(best_device()).eval()

    def _require_tokens(self, folder: Path, rows: int) -> None:
        """Refuse a model that has lost rows of tokens which its prompts may hold."""
        if rows < min(len(self.tokenizer), _tokens(self._base)):
            raise EvaluationError(
                f"{folder}: found {rows} rows of tokens, expected the {len(self.tokenizer)} of the "
                "base's tokenizer at least; it cannot read the base's prompts: save it again with "
                "all of them"
            )


def _tokens(model: PreTrainedModel) -> int:
    return int(model.config.get_text_config().vocab_size)


def _require_same_tokens(source: Variant, earlier: PreTrainedModel, later: PreTrainedModel) -> None:
    rows = [_tokens(model) for model in (earlier, later)]
    if rows[0] != rows[1]:
        raise EvaluationError(
            f"{source.folder}: found a line through logits of {rows[0]} and {rows[1]} tokens, "
            "expected as many of both checkpoints; forecast from checkpoints of one vocabulary"
        )
