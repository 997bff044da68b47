"""A tokenizer with one token per character, and texts as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from alpharl.problems import Example

VOCABULARY_SIZE = 64
"""Rows of the embedding: the characters below, rounded up to a multiple of 64."""
IGNORED = -100
"""The label that a loss leaves out."""

_SPECIAL = ("<pad>", "<bos>", "<eos>")
_CHARACTERS = "0123456789+-*=%()|>: ,?abcdefghijklmnopqrstuvwxyz\n"


class Encoded(NamedTuple):
    """An example as token ids, and the labels of a loss on its completion only; equal lengths."""

    ids: list[int]
    labels: list[int]


def character_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of every base that is pretrained here.

    It pads on the left, which generation needs, and adds no special tokens of its own.
    """
    vocabulary = {token: i for i, token in enumerate((*_SPECIAL, *_CHARACTERS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, padding_side="left",
        pad_token="<pad>", bos_token="<bos>", eos_token="<eos>",
    )  # fmt: skip


def encode(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> list[Encoded]:
    """Each example as one sequence that ends with the end-of-sequence token."""
    prompts, completions = (
        tokenizer([e[part] for e in examples], add_special_tokens=False)["input_ids"]
        for part in ("prompt", "completion")
    )
    end = [tokenizer.eos_token_id]
    return [
        Encoded(prompt + completion + end, [IGNORED] * len(prompt) + completion + end)
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
