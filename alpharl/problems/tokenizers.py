"""A base's tokenizer: how it is read, the tokens that end an answer, the token that pads rows."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpharl.errors import PromptError
from alpharl.failures import pass_on

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder; code that lies in the folder is not run.

    Raises:
        PromptError: there is none, or transformers cannot read it.
    """
    from transformers import AutoTokenizer

    advice = "copy the tokenizer's files from the model that this one was trained from"
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # of many kinds: whatever a broken file makes of the library
        pass_on(error)
        raise PromptError(
            f"{folder}: found no tokenizer that transformers reads ({_line(error)}), expected "
            f"one; {advice}"
        ) from None
    # Of a config alone, transformers makes a tokenizer without a vocabulary.
    names = {"tokenizer.json", *tokenizer.vocab_files_names.values()}
    if not any((folder / name).is_file() for name in names):
        raise PromptError(
            f"{folder}: found no tokenizer, expected {' or '.join(sorted(names))}; {advice}"
        )
    return tokenizer


def end_tokens(
    declared: Any, tokenizer: PreTrainedTokenizerBase, rows: int | None = None
) -> list[int]:
    """The tokens that end an answer: those that the model declares, then the tokenizer's own.

    Args:
        declared: `eos_token_id` of the model's generation config.
        tokenizer: the model's.
        rows: of its embedding; a token beyond them is never written.

    Raises:
        PromptError: what is declared are no tokens.
    """
    ends = declared if isinstance(declared, list | tuple) else [declared]
    ends = [token for token in [*ends, tokenizer.eos_token_id] if token is not None]
    for token in ends:
        if type(token) is not int:
            raise PromptError(
                f"found eos_token_id {declared!r} in the base's configs, expected a token's "
                "number or a list of them; correct generation_config.json or config.json"
            )
    return [token for token in dict.fromkeys(ends) if _has(rows, token)]


def padding_token(
    tokenizer: PreTrainedTokenizerBase, ends: Sequence[int], rows: int | None = None
) -> int:
    """The token that short rows of a batch are padded with: the tokenizer's, if the model has it.

    Padding is masked, so any token would do. One that no answer holds keeps lengths right.
    """
    special = [tokenizer.pad_token_id, tokenizer.eos_token_id, *ends, *tokenizer.all_special_ids]
    return next((token for token in special if token is not None and _has(rows, token)), 0)


def fitted(
    tokenizer: PreTrainedTokenizerBase, ends: Sequence[int], rows: int
) -> PreTrainedTokenizerBase:
    """A tokenizer for trainers, whose padding and end token the model has.

    Prompts are made with the base's own, of whose tokens its chat template may speak.

    Args:
        tokenizer: the base's.
        ends: tokens that end an answer, at least one.
        rows: of the model's embedding.
    """
    pad, end = padding_token(tokenizer, ends, rows), tokenizer.eos_token_id
    if tokenizer.pad_token_id == pad and end in ends:
        return tokenizer
    own = copy.deepcopy(tokenizer)
    own.pad_token = own.convert_ids_to_tokens(pad)
    own.eos_token = own.convert_ids_to_tokens(end if end in ends else ends[0])
    return own


def require_known(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase, rows: int | None) -> None:
    """Refuse tokens that the model has no embedding of.

    Raises:
        PromptError: names the token.
    """
    beyond = next((token for token in ids if not _has(rows, token)), None)
    if beyond is not None:
        raise PromptError(
            f"{tokenizer.name_or_path}: the tokenizer writes {_shown(tokenizer, beyond)}, expected "
            f"tokens below {rows}, the rows of the model's embedding; use the tokenizer that the "
            "base was published with"
        )


def _shown(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    return f"token {token} ({tokenizer.convert_ids_to_tokens(token)!r})"


def _has(rows: int | None, token: int) -> bool:
    return rows is None or 0 <= token < rows


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
