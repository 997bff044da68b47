r"""Exact numbers: 18, 18.0, $18, 1,018, -3/4, \frac{3}{4}, 2 1/2.

The last box counts if there is one, then the last "answer is", then the last number of the text.
Units, currency and percent signs are dropped, so 50 % is 50.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction

from alpharl.problems.places import after_phrase, last_box

_DECIMAL = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
# Neither a digit of a name (x2) nor an exponent; after a term, a minus is a subtraction.
_NUMBER = re.compile(
    rf"(?<![\w.^])(?:(?<![)\]}}])[-+])?(?:(?:\d+ +)?\d+ */ *\d+(?![\d.,]\d)|{_DECIMAL})"
)
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}|(\d)\s*(\d))")
_WORDS = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mbox|bf|rm)\b\s*")
_UNIT_POWER = re.compile(r"(?<=[A-Za-z])\s*\^\s*\d")
# A box with one of these around its number # holds an expression, which the number alone is not.
_OPERATORS = re.compile(r"[\\^!*+_<>≤≥≈√]|[-/]\s*#|#\s*-|#\s*/\s*[A-Za-z]\b")
_SPELLINGS = [
    (re.compile(r"[−–﹣－]"), "-"),
    (re.compile(r"\\!|\\left\b|\\right\b|\\?[$%]|[€£¥]|\^\s*(?:\\circ|\{\s*\\circ\s*\})|°"), ""),
    (re.compile(r"(?<=\d)(?:\\,|\{,\})(?=\d{3})"), ","),
    (re.compile(r"\\[,;: ]|[~\u00a0\u202f]"), " "),
    # Mixed numbers keep their parts apart, also once the fraction is written with a slash.
    (re.compile(r"(?<=\d)\s*(?=\\[dtc]?frac)"), " "),
    (re.compile(r"(^|[=(,:])\s*-\s+(?=[\d.\\])"), r"\1-"),
]
_LONGEST = 200
"""Characters of a number; a longer row of digits is a model that repeats itself."""


def extract(text: str) -> str:
    """The number that a text gives, in lowest terms such as `18` or `-3/4`; "" for none."""
    box = last_box(text)
    if box is not None:
        return _only_number(box)
    phrase = after_phrase(text)
    if phrase:
        number = _first(_matches(_cleaned(phrase.rpartition("=")[2])))
        if number:
            return number
    return _first(reversed(_matches(_cleaned(text))))


def is_correct(extracted: str, target: str) -> bool:
    """Whether both are the same number, exactly."""
    value = _value(_cleaned(extracted).strip())
    return value is not None and value == _value(_cleaned(target).strip())


def _only_number(box: str) -> str:
    """The number of a box that holds one, perhaps as `x = 3` or with units; else ""."""
    content = _WORDS.sub(" ", _cleaned(box.rpartition("=")[2]))
    content = _UNIT_POWER.sub("", content.replace("{", " ").replace("}", " "))
    numbers = _matches(content)
    around = _NUMBER.sub("#", content)
    return _first(numbers) if len(numbers) == 1 and not _OPERATORS.search(around) else ""


def _matches(text: str) -> list[str]:
    return [match.group() for match in _NUMBER.finditer(text)]


def _first(matches: Iterable[str]) -> str:
    """The first that has a value, in lowest terms; "" for none."""
    values = (_value(match) for match in matches)
    return next((str(value) for value in values if value is not None), "")


def _cleaned(text: str) -> str:
    """One spelling of signs, separators and fractions; no currency, percent or degree."""
    for pattern, plain in _SPELLINGS:
        text = pattern.sub(plain, text)
    return _FRACTION.sub(lambda m: f"{m[1] or m[3]}/{m[2] or m[4]}", text)


def _value(text: str) -> Fraction | None:
    """A number as `_NUMBER` finds it, or None."""
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        return None
    whole, _, part = re.sub(r" */ *", "/", text.replace(",", "").lstrip("+-")).rpartition(" ")
    try:
        value = Fraction(part) + Fraction(whole or 0)
    except ZeroDivisionError:
        return None
    return -value if text.startswith("-") else value
