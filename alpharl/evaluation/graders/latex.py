r"""Mathematical expressions, equal if math-verify says so: \frac12 and 0.5, (x-1)(x+1) and x^2-1.

The last box counts if there is one, then the last "answer is", then the last formula, then the last
number of the text.
"""

from __future__ import annotations

import re
from functools import lru_cache

from alpharl.problems.parts import answer_of
from alpharl.problems.places import LIST, stated_answer

from . import number
from .checker import Checker
from .notation import rewritten, tidy
from .units import number_said, said_in_words, without_units, words

# None holds another opening, so that a row of openings is read once. A digit after the second sign
# makes both signs of dollars: it costs $5 and $13.
_FORMULA = re.compile(
    r"\$\$([^$]+)\$\$|\$([^$\n]+)\$(?!\d)"
    r"|\\\(((?:[^\\\n]|\\[^()\n])+)\\\)|\\\[((?:[^\\]|\\[^\[\]])+)\\\]"
)
# What Minerva's few-shot prompt teaches to write after the answer.
_HOPE = re.compile(r"\.?\s*I hope it is correct.*$", re.IGNORECASE)
_REMARK = re.compile(
    r"(?<=[\w})\]])(?:[.;]\s|,?\s(?:because|since|as|so|which|where|when)\b|,?\s\().*"
)
_INTEGER = re.compile(r"-?\d{1,200}")
_BASED = re.compile(r"(\d[\dA-F]*)(?:_\{?(\w+)\}?)?")
_PERCENT = r"\%"
_DOZEN = re.compile(r"(?<=\d)(?:\s|\\[,;: ])*(?:\\text\s*\{\s*dozens?\s*\}|dozens?\b)")
_MODULUS = re.compile(r"\s*\\pmod\s*(?:\{[^{}]*\}|\d)$")
_RESIDUE = re.compile(rf"-?\d{{1,200}}{_MODULUS.pattern}")
# Points of a line, digits of a number, matrices: their order counts.
_CAPITALS = re.compile(r"(?:\\(?:vec|overrightarrow)\s*)?\{?[A-Z]{2,}\}?")
_GOES_ON = re.compile(r"\\[lcd]?dots(?![A-Za-z])")
_LONGEST = 2000
"""Characters of an answer; a longer one is a model that repeats itself."""

CHECKER = Checker()
"""Its process starts with the first answer that needs it, and ends with this one."""


def extract(text: str) -> str:
    """The expression that a text gives, without math delimiters; "" for none."""
    return answer_of(text, _stated, _guessed)


def _stated(part: str) -> str | None:
    return stated_answer(part, tidy, _said, _guessed)


def _said(line: str) -> str | None:
    """The expression after a phrase: its first formulas, or the line where these are a remark."""
    line = _HOPE.sub("", line)
    formulas = list(_FORMULA.finditer(line))
    if not formulas or re.search(r"\d", line[: formulas[0].start()]):
        return tidy(_REMARK.sub("", line).rstrip("*"))
    listed = formulas[:1]
    for formula in formulas[1:]:
        if not LIST.fullmatch(line, listed[-1].end(), formula.start()):
            break
        listed.append(formula)
    return tidy(", ".join(map(_content, listed)))


def _guessed(text: str) -> str:
    formulas = list(_FORMULA.finditer(text))
    return tidy(_content(formulas[-1])) if formulas else number.extract(text)


def _content(formula: re.Match[str]) -> str:
    return str(next(filter(None, formula.groups()))).strip()


def is_correct(extracted: str, target: str) -> bool:
    """Whether both are equal. Where deciding takes too long, no; see `timeouts`."""
    answer, wanted = tidy(extracted), tidy(target)
    if answer == "" or len(answer) > _LONGEST:
        return False
    if answer == wanted:
        return True
    # Math-verify passes over dots.
    if bool(_GOES_ON.search(answer)) != bool(_GOES_ON.search(wanted)):
        return False
    if _INTEGER.fullmatch(answer) and _INTEGER.fullmatch(wanted):
        return int(answer) == int(wanted)
    readings = [rewritten(answer), rewritten(_DOZEN.sub(r"\\times 12", answer))]
    return any(_same(reading, rewritten(wanted)) for reading in dict.fromkeys(readings))


def _same(answer: str, wanted: str) -> bool:
    """Whether two rewritten expressions are equal, units included."""
    if _RESIDUE.fullmatch(answer) and not _MODULUS.search(wanted):
        answer = _MODULUS.sub("", answer)
    answer, wanted = without_units(answer, wanted)
    for text, other in ((answer, wanted), (wanted, answer)):
        if _INTEGER.fullmatch(other) and (digits := number_said(text)):
            return digits == str(int(other))
    if _CAPITALS.fullmatch(answer) and _CAPITALS.fullmatch(wanted):
        return answer == wanted
    return answer != "" and _equal(answer, wanted)


@lru_cache(maxsize=1 << 16)
def _equal(answer: str, wanted: str) -> bool:
    """The same answer comes often, from other samples and other models."""
    if words(answer) == words(wanted):
        return True
    if text := said_in_words(wanted):
        return text == said_in_words(rf"\text{{{words(answer)}}}")
    based = _BASED.fullmatch(answer), _BASED.fullmatch(wanted)
    if based[0] and based[1] and (based[0][2] or based[1][2]):
        bases = {match[2] for match in based if match and match[2]}
        return based[0][1] == based[1][1] and len(bases) == 1
    answer, wanted = _proportion(answer), _proportion(wanted)
    if answer.endswith(_PERCENT) != wanted.endswith(_PERCENT):
        # 12.5 and 12.5 % are the same answer, and so are 0.125 and 12.5 %.
        bare = answer.removesuffix(_PERCENT), wanted.removesuffix(_PERCENT)
        if CHECKER.equal(*bare):
            return True
    return CHECKER.equal(answer, wanted)


def _proportion(expression: str) -> str:
    """A ratio of three or more as a tuple that is the same for 3:4:5 and 6:8:10."""
    terms = expression.split(":")
    if len(terms) < 3 or re.search(r"[(\[{,]", expression):
        return expression
    return "(" + ",".join(rf"\frac{{{term}}}{{{terms[0]}}}" for term in terms) + ")"


def timeouts() -> int:
    """Answers that this process has graded wrong so far since grading them did not end in time."""
    return CHECKER.timeouts
