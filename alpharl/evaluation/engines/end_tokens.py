"""Tokens that end an answer: the base's, for all models of a study and all engines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpharl.errors import PromptError
from alpharl.failures import pass_on
from alpharl.problems import tokenizers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def end_tokens(folder: Path, tokenizer: PreTrainedTokenizerBase | None = None) -> list[int]:
    """Tokens that end an answer, as training has them: the model's and the tokenizer's.

    Args:
        folder: of the base.
        tokenizer: the base's, if it is read already.

    Raises:
        PromptError: the base's configs or its tokenizer cannot be read.
    """
    tokenizer = tokenizer or tokenizers.load_tokenizer(folder)
    return tokenizers.end_tokens(_declared(folder), tokenizer, embedding_rows(folder))


def embedding_rows(folder: Path) -> int | None:
    """Rows of a model's embedding as its config says; None where no config can be read."""
    from transformers import AutoConfig

    try:
        language = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()
    except Exception as error:  # whoever loads the model says what is wrong with it
        pass_on(error)
        return None
    rows = getattr(language, "vocab_size", None)
    return rows if isinstance(rows, int) else None


def _declared(folder: Path) -> Any:
    """What transformers takes as the model's end tokens."""
    from transformers import AutoConfig, GenerationConfig

    try:
        if (folder / "generation_config.json").is_file():
            return GenerationConfig.from_pretrained(folder).eos_token_id
        if not (folder / "config.json").is_file():
            return None
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        return GenerationConfig.from_model_config(config).eos_token_id
    except Exception as error:  # of many kinds: whatever a broken file makes of the library
        pass_on(error)
        line = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise PromptError(
            f"{folder}: found a generation_config.json or config.json that transformers does not "
            f"read ({line}), expected the base's; save the model again"
        ) from None
