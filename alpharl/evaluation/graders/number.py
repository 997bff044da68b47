r"""Exact numbers: 18, 18.0, $18, 1,018, -3/4, \frac{3}{4}, 2½, 1.5 × 10^3, 18k, eighteen.

The last box counts if there is one, then the last "answer is", then the last number of the text.
Units, currency and percent signs are dropped, so 50 % is 50. Two numbers, a range, a ratio and an
expression are no number: `\boxed{3, 4}`, `10-15`, `#### 5:2`, `3x`.
"""

from __future__ import annotations

import re
from fractions import Fraction

from alpharl.problems.number_answers import number_answer, number_in_box
from alpharl.problems.numerals import value

_EXTRACTED = re.compile(r"(-?\d{1,201}(?:/[1-9]\d{0,200})?)( dozen)?")


def extract(text: str) -> str:
    """The number that a text gives, in lowest terms such as `18` or `-3/4`; "" for none.

    Dozens keep their word, since questions ask for eggs and for dozens of eggs: `7 dozen`.
    """
    return number_answer(text, _written)


def is_correct(extracted: str, target: str) -> bool:
    """Whether both are the same number, exactly; 7 dozen are 7 and 84."""
    return not _values(extracted).isdisjoint(_values(target))


def _values(text: str) -> set[Fraction]:
    known = _EXTRACTED.fullmatch(text) or _EXTRACTED.fullmatch(number_in_box(_written, text))
    if known is None:
        return set()
    number = Fraction(known[1])
    return {number, 12 * number} if known[2] else {number}


def _written(number: re.Match[str]) -> str:
    """A number in lowest terms; "" if it has no value."""
    if number[0].isdecimal() and len(number[0]) < 20:
        return str(int(number[0]))  # The most frequent kind, at a tenth of the time.
    exact = value(number)
    return "" if exact is None else f"{exact}{' dozen' if number['dozen'] else ''}"
