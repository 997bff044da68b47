"""Completions that a model samples before a run starts, for algorithms that learn from those.

What was sampled is stored beside the trainer's state: a run that goes on after a kill learns from
the very same rows, also on hardware that would not sample them again bit for bit.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)

from alpharl.checkpoints.files import write_text
from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.manifest import describe_model, digest_json
from alpharl.problems.tokenizers import end_tokens, padding_token
from alpharl.training.padding import left_padded
from alpharl.training.setup import Setup

Row = dict[str, Any]
"""What a trainer takes as one example: plain data."""


@dataclass
class SamplingOptions:
    """Options of the sampling, which stand beside a trainer's own."""

    temperature: float = field(default=1.0, metadata={"help": "Temperature of the samples."})
    max_completion_length: int = field(default=256, metadata={"help": "Tokens of a sample."})
    generation_batch_size: int = field(default=512, metadata={"help": "Samples made at once."})

    def __post_init__(self) -> None:
        """Refuse values with which nothing can be sampled."""
        super().__post_init__()  # type: ignore[misc]  # of the trainer's config, mixed in
        if self.temperature <= 0:
            raise ValueError(f"found temperature {self.temperature}, expected one above 0")
        if min(self.max_completion_length, self.generation_batch_size) < 1:
            raise ValueError("max_completion_length and generation_batch_size must be 1 or more")


class Sampler:
    """Samples completions of a setup's questions from a model, the same for the same seed.

    Processes that train together share the work, and each gets all completions.
    """

    def __init__(self, setup: Setup, model: PreTrainedModel, options: Any) -> None:
        """Take a model with the setup's tokenizer, and a config that has SamplingOptions."""
        self._setup, self._options = setup, options
        self._model = model.to(options.device).eval()
        rows = model.get_input_embeddings().weight.shape[0]
        declared = model.generation_config.eos_token_id
        self._ends = end_tokens(declared, setup.tokenizer, rows)
        self._pad = padding_token(setup.tokenizer, self._ends, rows)
        # A wider model of the same tokenizer knows tokens that stand for nothing.
        widths = (m.config.get_text_config().vocab_size for m in (setup.model, model))
        self._beyond = list(range(*widths)) or None
        self._batches = 0

    def __call__(self, indices: Sequence[int]) -> list[list[int]]:
        """A completion in tokens of the question at each index, with the token that ends it."""
        state, completions = PartialState(), []
        size = self._options.generation_batch_size * state.num_processes
        for start in range(0, len(indices), size):
            with state.split_between_processes(list(indices[start : start + size])) as share:
                completions += gather_object(self._batch(share) if share else [])
            self._batches += 1
        return completions

    def _batch(self, indices: list[int]) -> list[list[int]]:
        ids, mask = left_padded([self._setup.asking.ids(i) for i in indices], self._pad)
        device = self._model.device
        # What was random before goes on as if nothing had been sampled.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self._seed())
            out = self._generate(ids, mask)
        return [_cut(row, self._ends) for row in out[:, ids.shape[1] :].tolist()]

    def _seed(self) -> int:
        """A stream of its own for every batch and process."""
        key = f"{self._setup.spec.seed} {self._batches} {PartialState().process_index}"
        return random.Random(key).getrandbits(63)

    @torch.no_grad()
    def _generate(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        config = GenerationConfig(
            do_sample=True, temperature=self._options.temperature, top_k=0, top_p=1.0,
            max_new_tokens=self._options.max_completion_length,
            pad_token_id=self._pad, eos_token_id=self._ends, suppress_tokens=self._beyond,
        )  # fmt: skip
        # A model's own settings fill in what is not said, such as a penalty on repetition.
        before, self._model.generation_config = self._model.generation_config, config
        try:
            device = self._model.device
            return self._model.generate(  # type: ignore[no-any-return]
                input_ids=ids.to(device), attention_mask=mask.to(device), generation_config=config
            )
        finally:
            self._model.generation_config = before


class StoreRows(TrainerCallback):
    """Stores sampled rows when training begins, that is after an older state was cleared away."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Write the file, unless it is there."""
        if state.is_world_process_zero and not self._path.exists():
            write_text(self._path, self._text)


def sampled_rows(
    setup: Setup, source: Path, make: Callable[[], list[Row]]
) -> tuple[list[Row], StoreRows]:
    """The rows that an earlier attempt at this run sampled from `source`, or newly made ones.

    Returns:
        The rows, and the callback that keeps them for a later attempt.
    """
    path = setup.folder / "sampled.jsonl"
    stamp = {
        "model": describe_model(read_index(source), 0)["digest"],
        "questions": digest_json(list(setup.asking.questions.texts)),
        "recipe": setup.spec.model_dump(mode="json"),
    }
    stored = [_read(path, stamp) if PartialState().is_main_process else None]
    broadcast_object_list(stored)  # all processes do the same
    rows = make() if stored[0] is None else stored[0]
    return rows, StoreRows(path, "".join(json.dumps(line) + "\n" for line in [stamp, *rows]))


def _read(path: Path, stamp: dict[str, Any]) -> list[Row] | None:
    try:
        first, *rows = map(json.loads, path.read_text().splitlines())
    except (FileNotFoundError, ValueError):
        return None
    return rows if first == stamp else None


def _cut(ids: list[int], ends: list[int]) -> list[int]:
    """A completion up to the token that ends it, if there is one."""
    positions = (i for i, token in enumerate(ids) if token in ends)
    return ids[: next(positions, len(ids)) + 1]
