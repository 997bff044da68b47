"""Tokenizers of several families, chat templates as models are published with, and tiny models."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from alpharl.training.tokenizer import VOCABULARY_SIZE, character_tokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoTokenizer,
    Olmo2Config,
    Olmo2ForCausalLM,
    PreTrainedTokenizerFast,
)

SPECIAL = ["<unk>", "<bos>", "<eos>", "<pad>", "[CLS]", "[SEP]"]
CORPUS = ["user: what is 12+34= ?", "system: be brief", "<user> <assistant>", "the sum is 46\n"] * 3


def adding(tokenizer: PreTrainedTokenizerFast, single: str) -> PreTrainedTokenizerFast:
    """The tokenizer with a post-processor that adds tokens of its own, such as `<bos> $A <eos>`."""
    added = [(token, tokenizer.convert_tokens_to_ids(token)) for token in single.split()]
    tokens = [(token, number) for token, number in added if token != "$A"]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=single, special_tokens=tokens
    )
    return tokenizer


def trained(metaspace: bool) -> PreTrainedTokenizerFast:
    """A small BPE: with SentencePiece's space before the first word, or on bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    alphabet = [] if metaspace else pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<bos>", eos_token="<eos>",
        pad_token="<pad>",
    )  # fmt: skip
    made.add_tokens([AddedToken("<turn>", lstrip=True, rstrip=True, special=True)])
    return made


def bert_like() -> PreTrainedTokenizerFast:
    """`[CLS] ... [SEP]`, and no end token by that name."""
    made = trained(metaspace=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made.backend_tokenizer, unk_token="<unk>", cls_token="[CLS]",
        sep_token="[SEP]", pad_token="<pad>",
    )  # fmt: skip
    return adding(tokenizer, "[CLS] $A [SEP]")


MAKERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "adds none": character_tokenizer,
    "adds bos": lambda: adding(character_tokenizer(), "<bos> $A"),
    "adds bos and eos": lambda: adding(character_tokenizer(), "<bos> $A <eos>"),
    "adds eos": lambda: adding(character_tokenizer(), "$A <eos>"),
    "bert": bert_like,
    "sentencepiece": lambda: adding(trained(metaspace=True), "<bos> $A"),
    "bytes": lambda: adding(trained(metaspace=False), "<bos> $A"),
}
"""By what the post-processor does, or the family."""

PLAIN = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
TEMPLATES = {
    "plain": PLAIN,
    "writes bos": "{{ bos_token }}" + PLAIN,
    "turns": "{{ bos_token }}{% for m in messages %} <turn> {{ m['role'] }} <turn>"
    " {{ m['content'] | trim }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %} <turn> assistant <turn> {% endif %}",
    "thinking": PLAIN + "{% if enable_thinking is defined and not enable_thinking %} no{% endif %}",
    "tools": "{% if tools %}{{ raise_exception('no tools') }}{% endif %}" + PLAIN,
}

ASKED = [{"role": "user", "content": "12+34="}]
TOLD = [{"role": "system", "content": "be brief"}, *ASKED]
SHOWN = [*ASKED, {"role": "assistant", "content": "46"}, {"role": "user", "content": "7+8="}]


def model(folder: Path, rows: int = VOCABULARY_SIZE, **config: Any) -> Path:
    """A random OLMo 2 with the character tokenizer, which transformers reads as it is.

    For other architectures, it puts a tokenizer of their own kind in its place.
    """
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "eos_token_id": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "initializer_range": 0.3,
    }  # fmt: skip
    Olmo2ForCausalLM(Olmo2Config(vocab_size=rows, **{**shape, **config})).save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    return folder


def with_tokenizer(folder: Path, tokenizer: Any) -> Any:
    """The tokenizer as it is read from the folder, in place of the one there."""
    for file in folder.glob("*token*"):
        file.unlink()
    tokenizer.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def own_ids(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    """What the model's own chat function makes of messages."""
    return list(
        tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    )


def wide(base: Path) -> Path:
    """A copy of a base of as many rows as the character tokenizer has tokens, padded beyond."""
    other = Path(shutil.copytree(base, base.parent / "wide"))
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.add_special_tokens({"pad_token": "<beyond>"})
    assert tokenizer.pad_token_id == len(character_tokenizer())
    tokenizer.save_pretrained(other)
    return other
