"""A model's own chat function, under a time limit and on a day that does not change.

A chat template is a program that came with the model: it may loop without end, fail, leave messages
out, or write today's date.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpharl.errors import PromptError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = list[dict[str, str]]
SECONDS = 5.0
"""Processor time that a prompt may take."""
LONGEST = 10_000_000
"""Characters that a prompt may have."""
TODAY = datetime(2024, 7, 26)
"""What templates that ask for the date are told, always: on another day, training, scoring and the
token analyses would see other prompts. Llama's own templates fall back on this day."""


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


def chat_text(tokenizer: PreTrainedTokenizerBase, messages: Messages, continued: bool) -> str:
    """The text that the chat template makes of messages.

    Args:
        tokenizer: has a chat template.
        messages: each with `role` and `content`.
        continued: whether the last message is to be continued, and not to be answered.

    Raises:
        PromptError: the template fails, takes too long, or leaves a message out.
    """
    text = str(_applied(tokenizer, messages, continued, tokenize=False))
    if len(text) > LONGEST:
        raise PromptError(
            f"{place(tokenizer)}: the chat template writes {len(text)} characters for one prompt, "
            f"expected at most {LONGEST}; correct it"
        )
    for i, message in enumerate(messages):
        if message["content"].strip() not in text:
            other = [*messages[:i], {**message, "content": "?"}, *messages[i + 1 :]]
            if _applied(tokenizer, other, continued, tokenize=False) == text:
                raise PromptError(
                    f"{place(tokenizer)}: the chat template leaves out messages of the role "
                    f"'{message['role']}', expected them in the prompt; {_advice(messages)}"
                )
    return text


def chat_ids(tokenizer: PreTrainedTokenizerBase, messages: Messages, continued: bool) -> list[int]:
    """The tokens that the model's own chat function makes of messages; arguments as above."""
    return list(_applied(tokenizer, messages, continued, tokenize=True))


def place(tokenizer: PreTrainedTokenizerBase) -> str:
    """The file that holds the chat template, as an error names it."""
    folder = Path(tokenizer.name_or_path)
    file = folder / "chat_template.jinja"
    if not tokenizer.name_or_path or not folder.is_dir():
        return "the base's tokenizer"
    return str(file if file.is_file() else folder / "tokenizer_config.json")


def _applied(
    tokenizer: PreTrainedTokenizerBase, messages: Messages, continued: bool, tokenize: bool
) -> Any:
    how = "continue_final_message" if continued else "add_generation_prompt"
    try:
        with _time_limit(SECONDS), _fixed_day(tokenizer):
            return tokenizer.apply_chat_template(
                messages, tokenize=tokenize, return_dict=False, **{how: True}
            )
    except _OutOfTime:
        raise PromptError(
            f"{place(tokenizer)}: the chat template takes more than {SECONDS:.0f} seconds for one "
            "prompt, expected an end; correct it"
        ) from None
    except Exception as error:  # whatever the template does
        roles = ", ".join(message["role"] for message in messages)
        line = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise PromptError(
            f"{place(tokenizer)}: the chat template fails ({line}), expected a prompt of messages "
            f"of the roles {roles}; {_advice(messages)}"
        ) from None


def _advice(messages: Messages) -> str:
    if any(message["role"] == "system" for message in messages):
        return "correct it, or drop 'system' if it knows no such role"
    return "correct it, or ask without 'chat_template'"


class _OutOfTime(BaseException):
    """No Exception, which a template's own machinery might catch."""


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Interrupt what takes more of the process's time. Only the main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before or signal.SIG_DFL)


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
