"""Lets a trainer of TRL read prompts in the tokens that scoring uses too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alpharl.errors import StudyError
from alpharl.problems.prompts import Prompt, Prompts

REFUSED = dict.fromkeys(
    ("chat_template_kwargs", "chat_template_path"),
    "but prompts are the same in training and in scoring; change the base's chat template instead",
)
"""Options of trainers that would make other prompts."""


def with_prompts(trainer: type, prompts: Prompts) -> type:
    """A trainer's class of TRL's GRPO family, which takes the tokens of prompts from `prompts`.

    TRL would use the chat function without a time limit, and the tokenizer as it is.
    """
    return type(trainer.__name__, (_OwnPrompts, trainer), {"prompts": prompts})


class _OwnPrompts:
    prompts: Prompts

    def _tokenize_prompts(
        self, prompts: list[Prompt]
    ) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Tokens of each prompt; there are no images. A prompt comes once for each completion."""
        tokens: list[list[int]] = []
        for i, prompt in enumerate(prompts):
            again = i > 0 and prompt == prompts[i - 1]
            tokens.append(tokens[-1] if again else self.prompts.ids(prompt))
        return tokens, None, {}


def require_uncut(rows: Sequence[Sequence[int]], max_length: int | None) -> None:
    """Refuse an option of TRL that would cut a prompt and its completion.

    Raises:
        StudyError: one of the rows is longer.
    """
    longest = max(map(len, rows), default=0)
    if max_length is not None and longest > max_length:
        raise StudyError(
            f"args: found max_length {max_length}, expected at least {longest}, the longest prompt "
            "with its completion, as nothing is cut; raise it or leave it out"
        )
