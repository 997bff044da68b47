r"""The number that a text answers: that of its last box, else of its last phrase, else its last.

Two numbers, a range, a ratio and an expression are no number: `\boxed{3, 4}`, `10-15`, `#### 5:2`,
`3x`. Whoever asks says how a number is to be spelt.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .number_words import leading_number
from .numerals import NUMBER, is_led, is_partial
from .parts import answer_of
from .places import stated_answer
from .spelling import plain

Spell = Callable[[re.Match[str]], str]
"""Spells a match of `NUMBER`; "" for one without a value."""

_UNIT_POWER = re.compile(r"(?<=[A-Za-z])[}\s]*\^\s*(?:\d|\{\s*-?\d\s*\})")
# A box with one of these around its number # holds an expression, which the number alone is not.
_OPERATORS = re.compile(
    r"[\\^!*+_<>≤≥√±÷∞π]|[-/]\s*#|#\s*[-:]|#\s*/\s*[A-Za-z]\b|(?<![A-Za-z])[xyzn](?![A-Za-z'])"
)
# What is said after the answer: a new sentence, a reason, a remark in brackets.
_REMARK = re.compile(r"[.;!?](?:\s|$)|,?\s(?:because|since)\b|(?<![-+*/=(\s])\s\(")
# Before a number, these make an expression of it.
_LED = re.compile(
    r"[√^<>≤≥±]|[A-Za-z\d)]\s*[-+*/]\s*$"
    r"|\\(?:sqrt|log|ln|exp|sin|cos|tan|frac|binom|pm|mp|leq?|geq?|lt|gt|neq?|pi|infty|sum|prod|int)"
)
# After a number, these say another, or the rest of 2 h 30 min.
_OTHER = re.compile(
    r"(?:[^\d.,;()]{0,24}?\s(?:and|or)|\s+to|\s*[,;])\s*(?<=[\s,;])[-\d.]|\s+\d"
    r"|\s?(?:h|hrs?|min|s|ft|m|cm|km|g|kg|lbs?)\s?(?:\*\s?)?\d"
)
# x = 3, y = 4
_ASSIGNED_TWICE = re.compile(r"=\s*[-\d./]+\s*(?:[,;]|,?\s(?:and|or)\s)\s*\w{1,3}\s*=")
_WINDOWS = (150, 2000)
"""Characters before the end of a text that are searched for a number first."""
_WHOLE = 40
"""Characters after the start of a window; what begins before may have lost its own start."""


def number_answer(text: str, spell: Spell) -> str:
    """The number that a text answers; "" for none."""

    def boxed(box: str) -> str:
        return number_in_box(spell, box)

    def said(line: str) -> str | None:
        return _said(spell, line)

    def last(end: str) -> str:
        return _last(spell, end)

    return answer_of(text, lambda part: stated_answer(part, boxed, said, last), last)


def number_in_box(spell: Spell, box: str) -> str:
    """The number of a box that holds one, perhaps as `x = 3` or with units; else ""."""
    spelt = plain(box)
    if _ASSIGNED_TWICE.search(spelt):
        return ""
    content = _UNIT_POWER.sub("", spelt.rpartition("=")[2])
    numbers = list(NUMBER.finditer(content))
    if not numbers:
        return leading_number(content)
    around = NUMBER.sub("#", content)
    expression = len(numbers) > 1 or is_partial(numbers[0]) or _OPERATORS.search(around)
    return "" if expression else spell(numbers[0])


def _said(spell: Spell, line: str) -> str | None:
    """The number that a line begins with: the first of it, or what its first sentence equals."""
    sentence = _without_remark(plain(line))
    if _ASSIGNED_TWICE.search(sentence):
        return ""
    sentence = sentence.rpartition("=")[2]
    number = NUMBER.search(sentence)
    if number is None:
        return leading_number(sentence) or None
    before, after = sentence[: number.start()], sentence[number.end() :]
    expression = is_partial(number) or _LED.search(before) or _OTHER.match(after)
    return "" if expression else spell(number)


def _without_remark(line: str) -> str:
    """A line up to what is said after its first number."""
    first = NUMBER.search(line)
    remark = _REMARK.search(line, first.end()) if first else _REMARK.search(line)
    return line[: remark.start()] if remark else line


def _last(spell: Spell, text: str) -> str:
    """The last number of a text; "" if it is part of an expression."""
    for size in (*_WINDOWS, len(text)):
        numbers = list(NUMBER.finditer(plain(text[-size:])))
        if numbers and (numbers[-1].start() > _WHOLE or size >= len(text)):
            last = numbers[-1]
            expression = _ends_range(numbers[-2:]) or is_led(last) or is_partial(last)
            return "" if expression else spell(last)
    return ""


def _ends_range(numbers: list[re.Match[str]]) -> bool:
    """Whether the last two numbers are the ends of a range: 10-15, but not 15-10 or 10 - 15."""
    if len(numbers) < 2 or not all(number[0].isdecimal() for number in numbers):
        return False
    first, last = numbers
    between = first.string[first.end() : last.start()]
    return between == "-" and len(first[0]) < 20 > len(last[0]) and int(first[0]) < int(last[0])
