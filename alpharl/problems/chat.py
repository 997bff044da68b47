"""A model's own chat function, within limits of time and memory, on a day that does not change.

A chat template is a program that came with the model: it may loop without end, fill the memory,
fail, leave messages out, or write today's date.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from alpharl.confined import Confined, Failed, Overrun
from alpharl.errors import PromptError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = list[dict[str, str]]
SECONDS = 5.0
"""Processor time that a prompt may take."""
GIB = 1
"""Memory that it may take, in GiB."""
LONGEST = 10_000_000
"""Characters that a prompt may have."""
TODAY = datetime(2024, 7, 26)
"""What templates that ask for the date are told, always: on another day, training, scoring and the
token analyses would see other prompts. Llama's own templates fall back on this day."""
_PROCESSES: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[Any, Confined]] = WeakKeyDictionary()
"""By tokenizer, its chat template when the process began, and the process."""


def require_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer without a chat template.

    Raises:
        PromptError: there is none.
    """
    if not tokenizer.chat_template:
        raise PromptError(
            "found no chat template in the base's tokenizer, expected one for "
            "'chat_template: true'; add one to the tokenizer, or drop the key"
        )


def writes_date(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the chat template asks for the date."""
    return "strftime_now" in str(tokenizer.chat_template)


def encode_chat(
    tokenizer: PreTrainedTokenizerBase, messages: Messages, continued: bool
) -> tuple[str, list[int]]:
    """The text that the chat template makes of messages, and the tokens that the model's own chat
    function makes of them.

    Args:
        tokenizer: has a chat template.
        messages: each with `role` and `content`.
        continued: whether the last message is to be continued, and not to be answered.

    Raises:
        PromptError: the template fails, passes a limit, leaves a message out, or changes a
            question.
    """
    text, ids = _asked(tokenizer, messages, continued)
    for i, message in enumerate(messages):
        if message["content"].strip() not in text:
            other = [*messages[:i], {**message, "content": "?"}, *messages[i + 1 :]]
            if _asked(tokenizer, other, continued)[0] == text:
                raise PromptError(
                    f"{place(tokenizer)}: the chat template leaves out messages of the role "
                    f"'{message['role']}', expected them in the prompt; {_advice(messages)}"
                )
            # Answers may lose their thoughts, and white space means nothing.
            if message["role"] != "assistant" and _dense(message["content"]) not in _dense(text):
                raise PromptError(
                    f"{place(tokenizer)}: the chat template changes or cuts messages of the role "
                    f"'{message['role']}', expected them in the prompt as they are; "
                    f"{_advice(messages)}"
                )
    return text, ids


def _dense(text: str) -> str:
    return "".join(text.split())


def place(tokenizer: PreTrainedTokenizerBase) -> str:
    """The file that holds the chat template, as an error names it."""
    folder = Path(tokenizer.name_or_path)
    file = folder / "chat_template.jinja"
    if not tokenizer.name_or_path or not folder.is_dir():
        return "the base's tokenizer"
    return str(file if file.is_file() else folder / "tokenizer_config.json")


def _asked(
    tokenizer: PreTrainedTokenizerBase, messages: Messages, continued: bool
) -> tuple[str, list[int]]:
    try:
        made = _confined(tokenizer).ask([messages, continued], SECONDS)
    except Overrun as limit:
        raise PromptError(
            f"{place(tokenizer)}: the chat template {limit} for one prompt, expected an end; "
            "correct it"
        ) from None
    except Failed as error:
        roles = ", ".join(message["role"] for message in messages)
        kind, said = error.args
        line = f"{kind}: {' '.join(said.split())[:160]}"
        raise PromptError(
            f"{place(tokenizer)}: the chat template fails ({line}), expected a prompt of messages "
            f"of the roles {roles}; {_advice(messages)}"
        ) from None
    if "characters" in made:
        raise PromptError(
            f"{place(tokenizer)}: the chat template writes {made['characters']} characters for one "
            f"prompt, expected at most {LONGEST}; correct it"
        )
    return made["text"], made["ids"]


def _confined(tokenizer: PreTrainedTokenizerBase) -> Confined:
    """The process that runs a tokenizer's chat function: one for all its prompts."""
    template, confined = _PROCESSES.get(tokenizer, (None, None))
    if confined is None or not confined.is_mine or template != tokenizer.chat_template:
        confined = Confined(lambda request: _made(tokenizer, *request), GIB)
        _PROCESSES[tokenizer] = copy.copy(tokenizer.chat_template), confined
    return confined


def _made(
    tokenizer: PreTrainedTokenizerBase, messages: Messages, continued: bool
) -> dict[str, Any]:
    """What the process answers."""
    how = "continue_final_message" if continued else "add_generation_prompt"
    with _fixed_day(tokenizer):
        text = tokenizer.apply_chat_template(messages, tokenize=False, **{how: True})
        if len(text) > LONGEST:
            return {"characters": len(text)}
        ids = tokenizer.apply_chat_template(messages, return_dict=False, **{how: True})
    return {"text": text, "ids": [int(token) for token in ids]}


def _advice(messages: Messages) -> str:
    if any(message["role"] == "system" for message in messages):
        return "correct it, or drop 'system' if it knows no such role"
    return "correct it, or ask without 'chat_template'"


class _FixedDay(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> _FixedDay:
        return cls(TODAY.year, TODAY.month, TODAY.day, tzinfo=tz)


@contextmanager
def _fixed_day(tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """Let `strftime_now`, which transformers gives to templates, tell one and the same day."""
    from transformers.utils import chat_template_utils as utils

    if not writes_date(tokenizer):
        yield
        return
    before = utils.datetime
    utils.datetime = _FixedDay
    try:
        yield
    finally:
        utils.datetime = before
