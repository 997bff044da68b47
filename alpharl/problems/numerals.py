r"""How numbers are written, and their exact values: 1,018, 1 018, 1.5e3, 2 1/2, 18k, 10^6, 1010_2.

Read: groups of three digits apart by comma, space, apostrophe or underscore, and India's groups of
two; a decimal comma where it cannot part groups (`3,50`, `0,125`, `1.234,5`, not `1,234`);
fractions and mixed numbers; powers and scientific notation; bases; thousand, million and the like.

Not read: what has no single value (`5:2`, `10-15`, `1,2,3`, `3x`, `10\sqrt2`), and what is longer
than 200 digits. So `10^10^10` takes neither time nor memory.
"""

from __future__ import annotations

import re
from fractions import Fraction

_END = r"(?!\d|[.,']\d)"
_DECIMAL = rf"""(?:
    [1-9]\d{{0,2}}(?:[ '_]\d{{3}})+(?:[.,]\d+)?{_END}
  | [1-9]\d{{0,2}}(?:,\d{{3}})+(?:\.\d+)?{_END}
  | [1-9]\d?(?:,\d{{2}})+,\d{{3}}(?:\.\d+)?{_END}
  | [1-9]\d{{0,2}}(?:\.\d{{3}})+(?:,\d+|\.\d{{3}}){_END}
  | (?<![(\[])(?:0,\d+|\d+,(?:\d\d?|\d{{4,}})){_END}
  | \d+(?:\.\d+)?{_END}
  | (?<![\w)\]])\.\d+{_END}
)"""
NUMBER = re.compile(
    rf"""
    (?P<sign>(?<![\w)\]}}.^%!])[-+])?
    (?:(?<![A-Za-z_^\d])|(?<=USD)|(?<=EUR)|(?<=Rs))(?<!\d[.,'])(?<![_^]\{{)
    (?:
      (?:(?P<whole>\d+)[ ]+(?=\d+[ ]*/))? (?P<top>{_DECIMAL})
      (?: [ ]*/[ ]*(?P<bottom>-?{_DECIMAL})
        | [eE](?P<e>[-+]?\d+)(?!\w)
        | \s*[*x]\s*10\s*(?:\^|\*\*)\s*\{{?\s*(?P<ten>[-+]?\d+)\s*\}}?(?!\w|\.\d)
        | \s*(?:\^|\*\*)\s*\{{?\s*(?P<power>[-+]?\d+)\s*\}}?(?!\w|\.\d)
        | _\{{?(?P<base>\d+)\}}?(?!\w|\.\d) )?
      (?P<times>(?:\s{{0,3}}(?i:hundred|thousand|million|billion|trillion|lakh|crore|mn|mln|bn)s?\b
                 |[kKM]\b)*)
      (?P<dozen>\s+dozens?\b)?
    | \d+(?:[.,']\d+)+
    )""",
    re.VERBOSE,
)
"""A number, or a row of digits that is none, in a text that `spelling.plain` made."""
_GROUPS = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d?(?:,\d{2})+,\d{3}")
_TIMES = {
    "hundred": 2, "thousand": 3, "k": 3, "lakh": 5, "million": 6, "mn": 6, "mln": 6, "m": 6,
    "crore": 7, "billion": 9, "bn": 9, "trillion": 12,
}  # fmt: skip
# Letters that are seldom units.
_MORE = re.compile(
    r"[)\]}]*\s?\^|\s?[÷√π±_]|\s?(?:[-+:/*]|\*\*)\s?[\d({\\]|\s?[+*]\s?[A-Za-z]|[abeijnoqrtuvwxyz](?![A-Za-z])|[xX][\dA-F]"
    r"|[CP]\d|\s?(?:->|→|\.\.|…)\s?\d"
    r"|\s?\\(?:pi|sqrt|div|pm|frac|overline|log|ln|theta)|\s?(?:tenth|hundredth|thousandth)s?\b|\s{1,3}or\s(?:more|less|fewer)\b"
)
FUNCTIONS = (
    r"(?:log|ln|lg|exp|sin|cos|tan|sqrt|abs|floor|ceil|gcd|lcm|mod"
    r"|(?:root|square|cube|factorial|half|third|quarter|double|twice)(?:\s+of)?"
    r"|(?:more|less|fewer|greater|larger|smaller)\s+than|step|option|equation)"
)
"""Words that make an expression of the number after them."""
_LED = re.compile(
    rf"(?:\b{FUNCTIONS}\b[\s(]*|"
    r"\d[:/^]|[\d)]\s?[*+:/]\s?|\\sqrt\s?\{?|√\s?"
    r"|\d\s(?:(?:out\s)?of|choose|mod|over)\s|(?:hundred|thousand|million|billion)\s(?:and\s)?"
    r"|\d\s(?:hours?|hrs?|feet|foot|ft)\s(?:and\s)?|(?:\b[A-Za-z]|[\w)}] )[<>≤≥]=?\s?"
    r"|[A-Za-z]\([^()]{0,8},\s?)$",
    re.IGNORECASE,
)
# 2 thousand five hundred
_WORDS_GO_ON = re.compile(
    r"\s+(?:and\s+)?(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen"
    r"|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|half)\b|\s+and\s+an?\s+half\b",
    re.IGNORECASE,
)
_LONGEST = 200
"""Digits of a number; a longer row is a model that repeats itself."""
_LARGEST = 10**_LONGEST


def value(number: re.Match[str]) -> Fraction | None:
    """The exact value of a match of `NUMBER`; None if it has none. A dozen counts as one."""
    if len(number[0]) > 3 * _LONGEST or not number["top"]:
        return None
    try:
        result = _unsigned(number)
    except (ZeroDivisionError, ValueError):
        return None
    for word in re.findall(r"[a-z]+", number["times"].lower()):
        result *= 10 ** _TIMES[word.removesuffix("s") if len(word) > 2 else word]
    if max(abs(result.numerator), result.denominator) > _LARGEST:
        return None
    return -result if number["sign"] == "-" else result


def is_partial(number: re.Match[str]) -> bool:
    r"""Whether an expression goes on after a number: 5 in `5:2`, 3 in `3x`, 10 in `10\sqrt2`."""
    more = _MORE.match(number.string, number.end())
    words = number["times"] and _WORDS_GO_ON.match(number.string, number.end())
    return bool(more or words)


def is_led(number: re.Match[str]) -> bool:
    r"""Whether an expression comes before a number: 2 in `5:2` and in `\sqrt{2}`."""
    return _LED.search(number.string, max(0, number.start() - 16), number.start()) is not None


def _unsigned(number: re.Match[str]) -> Fraction:
    """Value without sign and multiplying words.

    Raises:
        ZeroDivisionError, ValueError: it has none, or too many digits.
    """
    top = _decimal(number["top"])
    if number["bottom"]:
        return Fraction(number["whole"] or 0) + top / _decimal(number["bottom"])
    if exponent := number["e"] or number["ten"]:
        return top * _power(Fraction(10), exponent)
    if number["power"]:
        return _power(top, number["power"])
    if number["base"]:
        return Fraction(int(str(top), int(number["base"])))
    return top


def _power(base: Fraction, exponent: str) -> Fraction:
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if len(exponent) > 4 or bits * abs(int(exponent)) > 4 * _LONGEST + 8:
        raise ValueError(f"a power with exponent {exponent:.10} is too long")
    return base ** int(exponent)


def _decimal(written: str) -> Fraction:
    """Value of decimal digits with marks: the last mark of two kinds is the decimal one."""
    digits = re.sub("[ '_]", "", written)
    if "," in digits and digits.rfind(",") > digits.rfind("."):
        comma = "" if _GROUPS.fullmatch(digits) else "."
        digits = digits.replace(".", "").replace(",", comma)
    elif digits.count(".") > 1:
        digits = digits.replace(".", "")
    return Fraction(digits.replace(",", ""))
