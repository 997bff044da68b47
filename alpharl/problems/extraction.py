r"""Finds the answer in what a model wrote: `\boxed{}`, `<answer>`, "the answer is", or the end."""

from __future__ import annotations

import re
from fractions import Fraction

from .number_answers import number_answer
from .numerals import value
from .parts import answer_of
from .places import last_box

_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
_SAID = re.compile(r"(?:\banswer\s+is\b:?|\banswer\s*:)([^\n]*)", re.IGNORECASE)
_PLAIN_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_MOST_DECIMALS = 60


def extract_answer(completion: str, numeric: bool) -> str:
    r"""The answer of a completion, by the first of these that it has.

    The last `\boxed{...}`; the last `<answer>...</answer>`, closed or not; the rest of the line
    after the last "answer is" or "Answer:"; the last line. A numeric answer is found as
    `number_answers` finds it, and given in plain digits: 1234 for `1,234`, 0.5 for `½`. Thoughts
    and questions that the model adds are left aside.
    """
    if numeric:
        return number_answer(completion, _in_digits)
    return answer_of(completion, _stated, _last_line)


def is_number(text: str) -> bool:
    """Whether a text is one number, written as `extract_answer` writes it."""
    return _PLAIN_NUMBER.fullmatch(text) is not None


def _stated(part: str) -> str | None:
    return _boxed(part) or _last(_TAGGED, part) or _trimmed(_last(_SAID, part)) or None


def _last_line(part: str) -> str:
    return part.strip().rpartition("\n")[2].strip()


def _in_digits(number: re.Match[str]) -> str:
    """A number in digits as they stand there, without marks between them; else its value."""
    if number[0].isdecimal():
        return number[0]
    exact = value(number)
    if exact is None:
        return ""
    digits = re.sub("[ ,'_]", "", number[0])
    return digits if is_number(digits) and Fraction(digits) == exact else _decimals(exact)


def _decimals(exact: Fraction) -> str:
    """A value in decimals, or as a fraction if they do not end."""
    places = (count for count in range(_MOST_DECIMALS) if 10**count % exact.denominator == 0)
    count = next(places, None)
    if not count:
        return str(exact)
    digits = str(abs(exact) * 10**count).rjust(count + 1, "0")
    return f"{'-' if exact < 0 else ''}{digits[:-count]}.{digits[-count:]}"


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
