"""Numbers that are written as words: eighteen, twenty-five, one hundred and five, three million."""

from __future__ import annotations

import re

_ONES = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14,
    "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20,
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_LARGE = {"dozen": 12, "thousand": 10**3, "million": 10**6, "billion": 10**9}
_WORD = "|".join([*_ONES, "hundred", *_LARGE])
_PART = r"(?:hal(?:f|ves)|thirds?|quarters?|(?:four|fif|six|seven|eigh|nin|ten|hundred)ths?)"
# Neither two thirds nor two and a half nor one of the five.
_LEADING = re.compile(
    rf"[\W_]*(?:(?:about|approximately|exactly|only|just)\s+)?(?P<minus>(?:minus|negative)\s+)?"
    rf"(?:an?\s+(?=hundred|dozen|thousand|million|billion))?"
    rf"(?P<words>(?:{_WORD})(?:(?:[\s-]+|\s+and\s+)(?:{_WORD}))*)s?\b"
    rf"(?!\s+of\s+the\b|[\s-]+{_PART}\b|\s+and\s+(?:an?|one|two|three)\b)(?=(?:\W+\w+){{0,3}}\W*$)",
    re.IGNORECASE,
)


def leading_number(text: str) -> str:
    """The number that a text without digits begins with, as digits; "" for none."""
    match = _LEADING.match(text)
    if match is None:
        return ""
    total = part = 0
    for word in re.findall(r"[a-z]+", match["words"].lower()):
        if word in _ONES:
            part += _ONES[word]
        elif word == "hundred":
            part = 100 * (part or 1)
        elif word in _LARGE:
            total, part = total + _LARGE[word] * (part or 1), 0
    return f"{'-' if match['minus'] else ''}{total + part}"
