r"""Mathematical expressions, equal if math-verify says so: \frac12 and 0.5, (x-1)(x+1) and x^2-1.

The last box counts if there is one, then the last "answer is", then the last formula, then the last
number of the text.
"""

from __future__ import annotations

import re
from functools import lru_cache

from alpharl.problems.places import after_phrase, last_box

from . import number
from .checker import Checker

# None holds another opening, so that a row of openings is read once.
_FORMULA = re.compile(
    r"\$\$([^$]+)\$\$|\$([^$\n]+)\$"
    r"|\\\(((?:[^\\\n]|\\[^()\n])+)\\\)|\\\[((?:[^\\]|\\[^\[\]])+)\\\]"
)
# What Minerva's few-shot prompt teaches to write after the answer.
_HOPE = re.compile(r"\.?\s*I hope it is correct.*$", re.IGNORECASE)
_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|mbox)\s*\{([^{}]*)\}")

CHECKER = Checker()
"""Its process starts with the first answer that needs it, and ends with this one."""


def extract(text: str) -> str:
    """The expression that a text gives, without math delimiters; "" for none."""
    box = last_box(text)
    if box is not None:
        return _tidy(box)
    phrase = after_phrase(text)
    if phrase:
        phrase = _HOPE.sub("", phrase)
        return _tidy(next(iter(_formulas(phrase)), phrase.rstrip(".*")))
    formulas = _formulas(text)
    return _tidy(formulas[-1]) if formulas else number.extract(text)


def is_correct(extracted: str, target: str) -> bool:
    """Whether both are equal. Where deciding takes too long, no; see `timeouts`."""
    answer, wanted = _tidy(extracted), _tidy(target)
    if answer == "":
        return False
    if _words(answer) == _words(wanted):
        return True
    return _equal(answer, wanted)


@lru_cache(maxsize=1 << 16)
def _equal(answer: str, wanted: str) -> bool:
    """The same answer comes often, from other samples and other models."""
    return CHECKER.equal(answer, wanted)


def timeouts() -> int:
    """Answers that this process has graded wrong so far since grading them did not end in time."""
    return CHECKER.timeouts


def _formulas(text: str) -> list[str]:
    return [next(filter(None, groups)) for groups in _FORMULA.findall(text)]


def _tidy(expression: str) -> str:
    """One spelling for what only looks different; so that votes for it are not split."""
    expression = re.sub(r"\\[dt]frac\b", r"\\frac", expression.replace("−", "-"))
    expression = re.sub(r"\\left\b|\\right\b|\\!", "", expression)
    return " ".join(expression.split()).strip("$ ")


def _words(expression: str) -> str:
    return "".join(_TEXT.sub(r"\1", expression).split())
