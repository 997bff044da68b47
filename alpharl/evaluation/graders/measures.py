r"""Whether two units are one: cm and centimeters are, cm and cm^2 are not, nor are AM and PM.

An answer's unit is compared only where the reference has one. Words that are no measure are things
that were counted: 5 red apples are 5 apples, and 5 oranges are not.
"""

from __future__ import annotations

import re
from collections import Counter

_SPELLINGS = {
    "mm": "millimeter millimetre", "cm": "centimeter centimetre", "m": "meter metre",
    "km": "kilometer kilometre", "nm": "nanometer", "in": "inch inches", "ft": "foot feet",
    "yd": "yard", "mi": "mile", "mg": "milligram", "g": "gram gm gramme", "kg": "kilogram kilo kgs",
    "oz": "ounce", "lb": "pound", "ton": "tonne", "s": "second sec", "ms": "millisecond",
    "min": "minute", "h": "hour hr", "day": "", "week": "wk", "month": "", "year": "yr",
    "L": "l liter litre", "gal": "gallon", "qt": "quart", "pint": "pt", "cup": "",
    "N": "newton", "J": "joule", "kJ": "kilojoule", "cal": "calorie", "W": "watt",
    "kW": "kilowatt", "V": "volt", "Pa": "pascal", "kPa": "kilopascal", "atm": "atmosphere",
    "Hz": "hertz", "kHz": "kilohertz", "eV": "", "mol": "mole", "K": "kelvin", "A": "ampere amp",
    "dollar": "usd buck", "cent": "penny pennies ¢", "euro": "eur",
    "unit": "", "deg": "degree ° circ", "degC": "C celsius centigrade", "degF": "F fahrenheit",
    "rad": "radian", "am": "morning", "pm": "afternoon evening", "percent": "",
}  # fmt: skip
_MADE_OF = {
    "mph": ("mi", "/", "h"), "kmh": ("km", "/", "h"), "kph": ("km", "/", "h"),
    "ml": ("cm", "^3"), "milliliter": ("cm", "^3"),
    "millilitre": ("cm", "^3"), "cc": ("cm", "^3"),
}  # fmt: skip
_NAMES = {name: unit for unit, names in _SPELLINGS.items() for name in (unit, *names.split())}
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_RAISED = {"squared": "^2", "cubed": "^3"}
_NO_UNITS = {
    "of", "the", "a", "an", "each", "in", "total", "altogether", "about", "exactly", "only", "at",
    "on", "oclock",
}  # fmt: skip
_TOKEN = re.compile(r"\^\s*\{?\s*(-?\d)|(/)|([^\W\d_]+|[°¢])")
_QUOTIENT = re.compile(r"\\frac\s*\{((?:[^{}]|\{[^{}]*\})*)\}\s*\{")


def same_unit(given: str, wanted: str) -> bool:
    """Whether two units in LaTeX or words are spellings of one; none is any."""
    (one, things), (two, others) = _read(given), _read(wanted)
    if not (one or things) or not (two or others):
        return True
    if one or two:
        return one == two or _is_general(one, two) or _is_general(two, one)
    return not things.isdisjoint(others)


def _is_general(measures: Counter[str], others: Counter[str]) -> bool:
    """Whether the first leave open what the second say: degrees of what, what per hour."""
    if measures == {"deg": 1}:
        return others in ({"degC": 1}, {"degF": 1})
    if set(measures) == {"unit"}:
        return list(others.values()) == [measures["unit"]]
    return bool(measures) and others == measures | {"dollar": 1}


def _read(unit: str) -> tuple[Counter[str], set[str]]:
    """Measures with their powers, and other words."""
    measures: Counter[str] = Counter()
    things: set[str] = set()
    sign, power, last = 1, 1, ""
    for token in _tokens(unit):
        if token in ("/", "per"):
            sign, last = -1, ""
        elif token.startswith("^"):
            measures[last] += measures[last] * (int(token[1:]) - 1)
        elif token.casefold() in _POWERS:
            power = _POWERS[token.casefold()]
        elif last := _name(token):
            measures[last] += sign * power
            power = 1
        elif token.casefold() not in _NO_UNITS:
            things.add(token.casefold().removesuffix("s"))
            power = 1
    if measures["degC"] or measures["degF"]:
        del measures["deg"]
    return Counter({name: count for name, count in measures.items() if name and count}), things


def _tokens(unit: str) -> list[str]:
    """Words, powers as `^2` and slashes of a unit."""
    text = re.sub(r"\([^()]*\)", " ", _QUOTIENT.sub(r"\1/{", unit))
    text = re.sub(r"\\(?!circ)[A-Za-z]+", " ", re.sub(r"['’]|(?<=\w)\.", "", text))
    text = re.sub(r"(?<=[A-Za-z])(?=[23]\b)", "^", text)
    tokens: list[str] = []
    for exponent, slash, word in _TOKEN.findall(text):
        token = f"^{exponent}" if exponent else slash or _RAISED.get(word.casefold(), word)
        tokens += _MADE_OF.get(token.casefold().removesuffix("s"), (token,))
    # "in" before other words is no inch.
    following = [*tokens[1:], "/"]
    return [
        token
        for token, after in zip(tokens, following, strict=False)
        if token != "in" or after[0] in "/^"
    ]


def _name(word: str) -> str:
    """The measure that a word spells; "" for none. Capitals count in symbols of one letter."""
    spelt = [word, word.casefold()] if len(word) > 1 else [word]
    candidates = [name for form in spelt for name in (form, form.removesuffix("s"))]
    return next((_NAMES[name] for name in candidates if name in _NAMES), "")
