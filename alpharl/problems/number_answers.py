r"""The number that a text answers: that of its last box, else of its last phrase, else its last.

Two numbers, a range, a ratio and an expression are no number: `\boxed{3, 4}`, `10-15`, `#### 5:2`,
`3x`. Whoever asks says how a number is to be spelt.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .number_words import leading_number
from .numerals import FUNCTIONS, NUMBER, is_led, is_partial
from .parts import answer_of
from .places import stated_answer
from .spelling import plain

Spell = Callable[[re.Match[str]], str]
"""Spells a match of `NUMBER`; "" for one without a value."""

_UNIT_POWER = re.compile(r"(?<=[A-Za-z])[}\s]*\^\s*(?:\d|\{\s*-?\d\s*\})")
# A box with one of these around its number # holds an expression, which the number alone is not.
_RAISED = r"(?:squared|cubed|factorial|choose|mod(?:ulo)?)"
_BETWEEN = (
    r"(?:out\s+of|of|over|choose|mod(?:ulo)?|times|plus|minus|(?:divided|multiplied)\s+by"
    r"|(?:for|in|to)\s+every|per|versus|vs\.?|less|(?:more|less|fewer|greater)\s+than"
    r"|to\s+the\s+power\s+of|through|up\s+to)"
)
"""Words that make an expression of a number: after it, and between two."""
_OPERATORS = re.compile(
    r"[\\^!*+_<>≤≥√±÷∞π|]|[-/]\s*#|#\s*[-:]|#\s*/\s*[A-Za-z]\b|(?<![A-Za-z])[xyzn](?![A-Za-z'])"
    rf"|\b{FUNCTIONS}\b[\s(]*#|#\s*{_RAISED}\b"
)
# What is said after the answer: a new sentence, a reason, a remark in brackets.
_REMARK = re.compile(
    r"[.!?](?:\s|$)|;(?:\s+(?![-\d\s])|$)|,?\s(?:because|since)\b|(?<![-+*/=(\s])\s\("
)
# Before a number, these make an expression of it.
_LED = re.compile(
    rf"[√^<>≤≥±]|[A-Za-z\d)]\s*[-+*/]\s*$|\b{FUNCTIONS}\b[\s(]*$"
    r"|\\(?:sqrt|log|ln|exp|sin|cos|tan|frac|binom|pm|mp|leq?|geq?|lt|gt|neq?|pi|infty|sum|prod|int)",
    re.IGNORECASE,
)
# After a number, these say another, or the rest of 2 h 30 min.
_OTHER = re.compile(
    r"(?:[^\d.,;()]{0,24}?\s(?:and|or)|\s+to|\s*[,;&])\s*(?<=[\s,;&])[-\d.]|\s+\d"
    r"|[^\d.,;()]{0,24}?\sand\s+(?:an?|one|two|three)\s+(?:half|halves|thirds?|quarters?|fourths?)\b"
    rf"|(?:\s+percent)?\s+{_BETWEEN}\s+-?\d|\s+by\s+\d{{1,3}}\b|\s+{_RAISED}\b"
    r"|\s+in\s+\d{1,2}\b(?!\s+(?:second|minute|hour|day|week|month|year)s?)"
    r"|\s?(?:h|hrs?|hours?|min|minutes?|s|days?|ft|feet|foot|m|cm|km|g|kg|lbs?|pounds?),?\s?(?:\*\s?)?\d"
    r"|\s*(?:[<>]\s*\S|\|\s*-?\d|/\s*[xyzn]\b)"
)
# |8| is 8, and -(8) is -8.
_SIZE = re.compile(r"\|\s*[-+]?\s*(\d[\d.,/ ]*)\|")
_NEGATED = re.compile(r"(?<![\w)\]}])-\s*[({\[]\s*(\d[\d.,/ ]*)[)}\]]")
# 18 = 9 * 2, and 18 = x
_WORKED_OUT = re.compile(r"[\d\s.,*/+()^{}-]*[*/+^-][\d\s.,*/+()^{}-]*|\W*[A-Za-z]\W*")
_UNIT_WORD = re.compile(r"\s[A-Za-z]{2,}\s*$")
# 20 of 90, which is 18
_WHICH = re.compile(r",?\s(?:which|that)\s(?:is|equals|makes|gives|comes\sto)\s(.*)")
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
    content = _UNIT_POWER.sub("", _right_side(_signed(spelt)))
    numbers = list(NUMBER.finditer(content))
    if not numbers:
        return leading_number(content)
    around = NUMBER.sub("#", content)
    expression = len(numbers) > 1 or is_partial(numbers[0]) or _OPERATORS.search(around)
    return "" if expression else spell(numbers[0])


def _said(spell: Spell, line: str) -> str | None:
    """The number that a line begins with: the first of it, or what its first sentence equals."""
    sentence = _without_remark(_signed(plain(line)))
    if _ASSIGNED_TWICE.search(sentence):
        return ""
    sentence = _right_side(sentence)
    number = NUMBER.search(sentence)
    if number is None:
        return leading_number(sentence) or None
    before, after = sentence[: number.start()], sentence[number.end() :]
    if not (is_partial(number) or _LED.search(before) or _OTHER.match(after)):
        return spell(number)
    result = _WHICH.search(after)
    return number_in_box(spell, result[1]) if result else ""


def _signed(spelt: str) -> str:
    return _NEGATED.sub(r"-\1", _SIZE.sub(r"\1", spelt))


def _right_side(equation: str) -> str:
    """What stands behind the last "="; the side before it where that is a variable or a sum."""
    before, _, last = equation.rpartition("=")
    side = before.rpartition("=")[2]
    bare = NUMBER.fullmatch(_UNIT_WORD.sub("", side).strip())
    sums = _WORKED_OUT.fullmatch(last) and not NUMBER.fullmatch(last.strip())
    return side if bare and sums else last


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
