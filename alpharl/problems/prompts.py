"""The one place in which prompts become tokens: for training, for scoring, for token analyses.

A chat is what the model's own chat function makes of it, and a plain text what its tokenizer makes
of it, token for token, with two exceptions: a text that begins with the tokens that the tokenizer
puts first gets no second ones, and an end token that it adds is left out, as an answer follows.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alpharl.errors import PromptError
from alpharl.problems.chat import (
    TODAY,
    Messages,
    encode_chat,
    place,
    require_template,
    writes_date,
)
from alpharl.problems.tokenizers import require_known

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Prompt = str | Messages
"""Text as it is, or messages for the tokenizer's chat template."""


@dataclass(frozen=True)
class Prompts:
    """Makes the tokens of prompts for a model."""

    tokenizer: PreTrainedTokenizerBase
    """The base's."""
    ends: tuple[int, ...] = ()
    """Tokens that end an answer."""
    rows: int | None = None
    """Rows of the model's embedding, if known."""

    def ids(self, prompt: Prompt) -> list[int]:
        """The tokens of a prompt.

        Raises:
            PromptError: the chat template fails, or there is no token that the model can answer.
        """
        return self._plain(prompt) if isinstance(prompt, str) else self.chat(prompt)[1]

    def chat(self, messages: Messages, continued: bool = False) -> tuple[str, list[int]]:
        """A chat as text and in tokens.

        Args:
            messages: each with `role` and `content`.
            continued: whether the last message is to be continued, and not to be answered.

        Raises:
            PromptError: as above, or the chat ends in a token that ends an answer.
        """
        text, ids = encode_chat(self.tokenizer, messages, continued)
        self._checked(ids)
        last = self._last(ids)
        if last in self._ends():
            raise PromptError(
                f"{place(self.tokenizer)}: the chat template ends a prompt in "
                f"{self.tokenizer.convert_ids_to_tokens(last)!r}, which ends an answer, expected "
                "the beginning of one; let it heed add_generation_prompt"
            )
        return text, ids

    def require_chat(self) -> None:
        """Refuse a tokenizer without a chat template, and say which day a template is told.

        Raises:
            PromptError: there is none.
        """
        require_template(self.tokenizer)
        if writes_date(self.tokenizer):
            print(
                f"{place(self.tokenizer)}: the chat template writes the date; prompts have "
                f"{TODAY:%d %B %Y} on any day, so that all models are asked the same",
                file=sys.stderr, flush=True,
            )  # fmt: skip

    def _plain(self, text: str) -> list[int]:
        bare: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        ids: list[int] = self.tokenizer(text)["input_ids"]
        added = len(ids) - len(bare)
        starts = [i for i in range(added + 1) if ids[i : i + len(bare)] == bare]
        # Of no text, the first token that is added is the beginning.
        start = max(starts, default=0) if bare else min(added, 1)
        kept = start + len(bare)
        if bare and start and bare[:start] == ids[:start]:
            ids, kept = ids[start:], len(bare)
        while len(ids) > kept and ids[-1] in {*self._ends(), self.tokenizer.sep_token_id}:
            ids = ids[:-1]
        return self._checked(ids)

    def _checked(self, ids: list[int]) -> list[int]:
        if not ids:
            raise PromptError(
                "found a prompt without a token, expected at least one; the question is empty, or "
                "the base's tokenizer knows none of its characters"
            )
        require_known(ids, self.tokenizer, self.rows)
        return ids

    def _ends(self) -> set[int | None]:
        return {*self.ends, self.tokenizer.eos_token_id} - {None}

    def _last(self, ids: list[int]) -> int:
        """The last token that is no white space."""
        texts = ((token, self.tokenizer.decode([token])) for token in reversed(ids))
        return next((token for token, text in texts if not text.isspace()), ids[-1])


def require_room(longest: int, budget: int, positions: int | None, asked: str, option: str) -> None:
    """Refuse prompts that do not fit into a model's context together with their answers.

    Args:
        longest: tokens of the longest prompt.
        budget: tokens that its answer may have; 0 if none is asked for.
        positions: of the model, if known.
        asked: what asks.
        option: what sets the budget.

    Raises:
        PromptError: they do not fit.
    """
    if positions is None or longest + budget <= positions:
        return
    and_budget, together = (f" and a budget of {budget}", " together") if budget else ("", "")
    advice = f"lower {option}" if longest < positions else "leave out such long questions"
    raise PromptError(
        f"{asked}: found a prompt of {longest} tokens{and_budget}, expected at most {positions}"
        f"{together}, the base's context; {advice}"
    )
