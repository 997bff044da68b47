r"""Finds the answer in what a model wrote: `\boxed{}`, `<answer>`, "the answer is", or the end."""

from __future__ import annotations

import re

from .places import last_box

_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
_SAID = re.compile(r"(?:\banswer\s+is\b:?|\banswer\s*:)([^\n]*)", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_PLAIN_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_SENTENCE_END = re.compile(r"[.;]\s")


def extract_answer(completion: str, numeric: bool) -> str:
    r"""The answer of a completion, by the first of these that it has.

    The last `\boxed{...}`; the last `<answer>...</answer>`, closed or not; the rest of the line
    after the last "answer is" or "Answer:"; the last number if the answer is numeric; the last
    line. Of a numeric answer, only its number is given, without commas.
    """
    said = _trimmed(_last(_SAID, completion))
    for answer in (_boxed(completion), _last(_TAGGED, completion), said):
        if answer:
            return _number(_SENTENCE_END.split(answer)[0]) or answer if numeric else answer
    if numeric:
        return _number(completion)
    return completion.strip().rpartition("\n")[2].strip()


def is_number(text: str) -> bool:
    """Whether a text is one number, written as `extract_answer` writes it."""
    return _PLAIN_NUMBER.fullmatch(text) is not None


def _number(text: str) -> str:
    """The last number of a text, or nothing."""
    numbers = _NUMBER.findall(text)
    return numbers[-1].replace(",", "").replace("−", "-") if numbers else ""


def _last(pattern: re.Pattern[str], text: str) -> str:
    """The group of a pattern's last match that is not blank, or nothing."""
    groups = [group.strip() for group in pattern.findall(text)]
    return next((group for group in reversed(groups) if group), "")


def _trimmed(text: str) -> str:
    """A text without emphasis around it and without the full stop of its sentence."""
    return text.strip(" *$`").removesuffix(".").strip(" *$`")


def _boxed(text: str) -> str:
    r"""What the last closed `\boxed{}` holds, or nothing, without a `\text{}` around all of it."""
    inside = (last_box(text) or "").strip()
    whole = re.fullmatch(r"\\text\{([^{}]*)\}", inside)
    return whole[1].strip() if whole else inside
