"""Pretrains a small base from nothing, to the point where RL has something left to do."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM

from alpharl.problems import TAUGHT
from alpharl.training.checkpoints import write_model
from alpharl.training.progress import quiet
from alpharl.training.spec import POSITIONS, PretrainSpec
from alpharl.training.tokenizer import (
    IGNORED,
    VOCABULARY_SIZE,
    Encoded,
    character_tokenizer,
    encode,
)

_WARMUP_STEPS = 60
# Three times the usual width: at 128 dimensions, sums are learned in half as many steps.
_INITIALIZER_RANGE = 0.06


def pretrain(spec: PretrainSpec, out: Path) -> None:
    """Train a base on a problem's two answer styles and write it as a model folder at `out`.

    AdamW in float32; the rate rises over 60 steps and then falls in a line to zero. The folder is
    there whole or not at all, and replaces what stood there.
    """
    quiet()
    tokenizer = character_tokenizer()
    torch.manual_seed(spec.seed)
    model = _new_model(spec, tokenizer)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=spec.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, spec.steps))
    began = time.monotonic()
    for step, batch in enumerate(_batches(spec, tokenizer), start=1):
        loss = _backward(model, batch)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        _report(step, spec.steps, loss, time.monotonic() - began)
    write_model(model, tokenizer, out)


def _new_model(spec: PretrainSpec, tokenizer: PreTrainedTokenizerBase) -> Qwen2ForCausalLM:
    config = Qwen2Config(
        **spec.model.model_dump(),
        num_key_value_heads=spec.model.num_attention_heads,
        vocab_size=VOCABULARY_SIZE,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=False,
        initializer_range=_INITIALIZER_RANGE,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return Qwen2ForCausalLM(config)


def _rate(step: int, steps: int) -> float:
    """Share of the peak learning rate at a step counted from 0."""
    return min(1.0, (step + 1) / _WARMUP_STEPS) * (1 - step / steps)


def _batches(spec: PretrainSpec, tokenizer: PreTrainedTokenizerBase) -> Iterator[list[Encoded]]:
    problem = TAUGHT[spec.problem]
    scratchpads = problem.examples(spec.seed, 0.0, 0.0)
    mixed = problem.examples(spec.seed + 1, spec.direct_share, spec.corrupted_share)
    for step in range(spec.steps):
        examples = scratchpads if step < spec.scratchpad_first * spec.steps else mixed
        yield encode(list(islice(examples, spec.batch_size)), tokenizer)


def _backward(model: Qwen2ForCausalLM, batch: list[Encoded]) -> float:
    """Add the gradient of the mean loss per completion token, and return that loss."""
    # One pass per length needs no padding, which would be a quarter of all tokens.
    by_length = defaultdict(list)
    for text in batch:
        by_length[len(text.ids)].append(text)
    count = sum(label != IGNORED for text in batch for label in text.labels)
    total = 0.0
    for texts in by_length.values():
        ids = torch.tensor([text.ids for text in texts], device=model.device)
        labels = torch.tensor([text.labels for text in texts], device=model.device)
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        sums = cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
        loss = sums / count
        torch.autograd.backward(loss)
        total += loss.item()
    return total


def _report(step: int, steps: int, loss: float, seconds: float) -> None:
    if step % max(1, steps // 20) == 0:
        left = seconds * (steps - step) / step
        print(
            f"pretrain: step {step}/{steps}, loss {loss:.3f}, {left:.0f} s left",
            file=sys.stderr, flush=True,
        )  # fmt: skip
