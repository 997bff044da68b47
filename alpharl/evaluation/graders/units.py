r"""Units and words in LaTeX answers: what stands behind a number, and answers that are words.

Math-verify takes letters at an expression's end for units, so that `5t` would be 5, `\pi r^2 h`
would be `\pi r^2` and `3\mathbf{i}+2\mathbf{j}` would be 3. And it multiplies the letters of a
word, so that `east` would be `seat`. Hence units go before it sees them, and words do not reach it.
"""

from __future__ import annotations

import re

from alpharl.problems.number_words import leading_number

from .measures import same_unit

_TEXT = r"\\(?:text|textrm|textbf|textit|mathrm|mbox)\s*\{"
_POWER = r"(?:\s*\^\s*\{?\s*-?\d\s*\}?)?"
_GAP = r"(?:\\[,;:! ]|~|\s|\\cdot\b|\\times\b|/|\\q?quad\b)*"
_VALUES = (
    r"(?:squared|cubed|factorial|choose|hal(?:f|ves)|thirds?"
    r"|(?:four|fif|six|seven|eigh|nin|ten|hundred|thousand)ths?|hundred|thousand|[mb]illion)"
)
"""Words that change the value of a number before them, which units do not."""
_NAME = (
    rf"{_TEXT}(?!\s*(?:(?:and|or|if|mod|{_VALUES})\b|[eid]\}}))(?:[^{{}}\d]|(?<=[A-Za-z^])\d)*\}}"
)
_QUOTIENT = rf"\\frac\s*\{{\s*{_TEXT}[^{{}}]*\}}\s*\}}\s*\{{\s*{_TEXT}[^{{}}]*\}}\s*\}}"
_UNIT = re.compile(rf"(?<=[\w}})\]%]){_GAP}(?:(?:{_NAME}|{_QUOTIENT}){_POWER}{_GAP})+$")
# One letter, or letters right after a number, are a unit if they are one of these.
_SHORT = (
    "mm|cm|km|mg|kg|ml|mL|min|hr|hrs|ft|in|yd|mi|lb|lbs|oz|mph|kmh|Hz|kHz|kW|kN|Pa|kPa|kJ|eV|mol|pm"
    "|am|cents|m|g|s|h|L|l|N|J|W|V|K|C|F"
)
_WORD = r"(?!(?:and|or|mod|if)\b)[A-Za-z.]+"
_UNMARKED = re.compile(
    rf"(?<=[\d}})%])(?:\s*(?:{_SHORT})"
    rf"|\s+(?=[A-Za-z]{{2}}|[ap]\.)(?!{_VALUES}\b){_WORD}(?:[ /]+{_WORD})*)"
    rf"(?:/[A-Za-z]+)?{_POWER}$"
)
_IN_TEXT = re.compile(rf"{_TEXT}([^{{}}]*)\}}")
_NUMBER_IN_TEXT = re.compile(rf"{_TEXT}\s*([-+\\$]*\d[^{{}}]*)\}}")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_DEGREES = re.compile(r"\d\s*\^\s*\{?\s*\\circ\s*\}?$")


def without_units(answer: str, wanted: str) -> tuple[str, str]:
    """An answer and the wanted expression without units; both "" where the units differ.

    Letters that are not marked as text are units only where the wanted expression has none.
    """
    wanted, unit = _apart(_opened(wanted), _UNIT)
    if not _is_numeric(wanted):
        bare, words_after = _apart(wanted, _UNMARKED)
        if " " in words_after and _is_numeric(bare):
            wanted, unit = bare, words_after
    numeric = _is_numeric(wanted)
    answer, given = _apart(_opened(answer), _UNIT)
    if not given and numeric:
        answer, given = _apart(answer, _UNMARKED)
    if not same_unit(_signs(answer) + given, _signs(wanted) + unit):
        return "", ""
    return answer, wanted


def _signs(expression: str) -> str:
    """Units that are signs and stay: of dollars before a number, of degrees after one."""
    dollars = "dollar " if expression.startswith(r"\$") else ""
    return dollars + ("° " if _DEGREES.search(expression) else "")


def words(expression: str) -> str:
    """An expression without spaces that mean nothing, and without marks of text."""
    text = _IN_TEXT.sub(r"\1", expression)
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)


def said_in_words(expression: str) -> str:
    r"""The words of an expression that is nothing else, such as `\text{(A)}` or `Evelyn`; or ""."""
    inside = _IN_TEXT.fullmatch(expression)
    text = re.sub(r"[\s().,'\"]", "", inside[1] if inside else expression)
    in_words = re.search("[A-Za-z]", text) if inside else re.fullmatch("[A-Za-z]{4,}", text)
    return text.casefold() if in_words else ""


def number_said(expression: str) -> str:
    r"""The digits of an expression that says an integer in words: `\text{fifty-six}`; or ""."""
    inside = _IN_TEXT.fullmatch(expression)
    text = inside[1] if inside else expression
    return leading_number(text) if re.fullmatch(r"[A-Za-z\s-]+", text) else ""


def _is_numeric(expression: str) -> bool:
    return not re.search("[A-Za-z]", _COMMAND.sub("", expression))


def _opened(expression: str) -> str:
    r"""Without `\text{}` around a number: `\text{12 cm}`."""
    inside = _NUMBER_IN_TEXT.fullmatch(expression)
    return inside[1] if inside else expression


def _apart(expression: str, unit: re.Pattern[str]) -> tuple[str, str]:
    """An expression without the unit at its end, and that unit."""
    found = unit.search(expression)
    return (expression[: found.start()], found[0]) if found else (expression, "")
