r"""Multiple choice: a letter from A to D.

The last box counts if there is one, then the last "answer is" or "option C is correct", then the
last letter in brackets, then the last letter that stands alone. Two letters are no answer.
"""

from __future__ import annotations

import re

from alpharl.problems.parts import answer_of
from alpharl.problems.places import stated_answer

_LETTER = re.compile(r"(?<![\w'’-])([A-D])(?![\w'’-])")
# An A before a word is an article more often than an answer.
_NOT_ARTICLE = re.compile(r"(?<![\w'’-])([B-D]|A(?!\s+(?!or\b|and\b)[a-z]))(?![\w'’-])")
_BRACKETS = re.compile(r"\(\s*([A-D])\s*\)")
_WORDS = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mbox|bf|rm)\b")
_LABEL = re.compile(r"[\W_]*([A-D])\s*[).:]")
_ALONE = re.compile(r"[\W_]*(?:(?:option|choice|letter|answer)\W+)?([a-dA-D])[\W_]*", re.IGNORECASE)
_HEDGED = re.compile(r"\W{1,4}(?:or|and|/)\W{1,4}[A-D](?![\w'’-])|\s?/\s?[A-D](?![\w'’-])")
_VERDICT = re.compile(
    r"(?<![\w'’-])([A-D])[)*]{0,3} (?:is|must be|should be) "
    r"(?:the )?(?:correct|right|best|answer)\b"
    r"|(?i:\b(?:correct|right|best|choose|pick|select|answer) (?:the )?"
    r"(?:option|choice|letter)(?: is| would be)?:?)[ (*]{0,4}([A-D])(?![\w'’-])"
)


def extract(text: str) -> str:
    """The letter that a text gives; "" for none."""
    return answer_of(text, _stated, _guessed)


def is_correct(extracted: str, target: str) -> bool:
    """Whether both are the same letter."""
    return extracted != "" and extracted == target


def _stated(part: str) -> str | None:
    answer = stated_answer(part, _boxed, _said, _guessed)
    if answer is None:
        verdicts = [match[1] or match[2] for match in _VERDICT.finditer(part)]
        return verdicts[-1] if verdicts else None
    return answer


def _boxed(box: str) -> str:
    """The one letter of a box, or the label that it starts with: two letters are no answer."""
    content = _WORDS.sub(" ", box)
    if alone := _ALONE.fullmatch(content):
        return alone[1].upper()
    letters = set(_LETTER.findall(content))
    if len(letters) == 1:
        return str(letters.pop())
    label = _LABEL.match(content)
    return label[1] if label else ""


def _said(line: str) -> str | None:
    """The letter of a line after "the answer is": the first in brackets, or the first."""
    line = _WORDS.sub(" ", line)
    if alone := _ALONE.fullmatch(line):
        return alone[1].upper()
    for pattern in (_BRACKETS, _NOT_ARTICLE):
        if letter := pattern.search(line):
            return "" if _HEDGED.match(line, letter.end()) else letter[1]
    return None


def _guessed(text: str) -> str:
    for pattern in (_BRACKETS, _NOT_ARTICLE):
        if letters := pattern.findall(text):
            return str(letters[-1])
    return ""
