"""The `plain` engine: one prompt at a time, the likeliest token each time, no cache."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from alpharl.evaluation.engines.engine import Answer, Decoding, Generate, Prompt
from alpharl.evaluation.engines.settings import EngineSettings

if TYPE_CHECKING:
    from alpharl.variants.store import Variant


class Plain(EngineSettings):
    """Greedy decoding in a loop."""

    engine: Literal["plain"] = "plain"
    thoroughness: float = 0.5
    """An option without effect."""
    seed_note = "greedy answers have no seed"

    def open(self, base: Path, longest: int, gpus: int, rank: int) -> PlainEngine:
        """Nothing is loaded before a model is asked for."""
        return PlainEngine(base)


class PlainEngine:
    """Loads each model when it is asked for."""

    def __init__(self, base: Path) -> None:
        from alpharl.problems.tokenizers import load_tokenizer

        self.versions = {"transformers": version("transformers")}
        self._tokenizer = load_tokenizer(base)

    def close(self) -> None:
        """Nothing outlives the object."""

    @contextmanager
    def model(self, source: Path | Variant) -> Iterator[Generate]:
        """A model folder, or a variant that is built as one."""
        from alpharl.variants.build import build_dense
        from transformers import AutoModelForCausalLM

        with tempfile.TemporaryDirectory() as folder:
            if not isinstance(source, Path):
                build_dense(source, Path(folder) / "model")
                source = Path(folder) / "model"
            model = AutoModelForCausalLM.from_pretrained(source, dtype="float32").eval()
            yield lambda prompts, decoding: self._answers(model, prompts, decoding)

    def _answers(
        self, model: Any, prompts: Sequence[Prompt], decoding: Decoding
    ) -> Iterator[tuple[int, Answer]]:
        import torch

        for index, prompt in enumerate(prompts):
            tokens: list[int] = []
            while len(tokens) < prompt.budget and tokens[-1:] != [self._tokenizer.eos_token_id]:
                with torch.inference_mode():
                    logits = model(torch.tensor([[*prompt.tokens, *tokens]])).logits[0, -1]
                tokens.append(int(logits.argmax()))
            text = self._tokenizer.decode(tokens, skip_special_tokens=True)
            ends = [at for at in map(text.find, decoding.stop) if at >= 0]
            finished = bool(ends) or tokens[-1] == self._tokenizer.eos_token_id
            yield index, Answer(text[: min(ends)] if ends else text, len(tokens), finished)
