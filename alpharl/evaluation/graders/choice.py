r"""Multiple choice: a letter from A to D.

The last box counts if there is one, then the last "answer is", then the last letter in brackets,
then the last letter that stands alone.
"""

from __future__ import annotations

import re

from alpharl.problems.places import after_phrase, last_box

_LETTER = re.compile(r"(?<![\w'’-])([A-D])(?![\w'’-])")
# An A before a word is an article more often than an answer.
_NOT_ARTICLE = re.compile(r"(?<![\w'’-])([B-D]|A(?!\s+[a-z]))(?![\w'’-])")
_BRACKETS = re.compile(r"\(\s*([A-D])\s*\)")
_WORDS = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mbox|bf|rm)\b")
_LABEL = re.compile(r"[\W_]*([A-D])\s*[).:]")


def extract(text: str) -> str:
    """The letter that a text gives; "" for none."""
    box = last_box(text)
    if box is not None:
        return _boxed(box)
    phrase = after_phrase(text) or ""
    for pattern in (_BRACKETS, _NOT_ARTICLE):
        if letters := pattern.findall(phrase):
            return str(letters[0])
    for pattern in (_BRACKETS, _NOT_ARTICLE):
        if letters := pattern.findall(text):
            return str(letters[-1])
    return ""


def is_correct(extracted: str, target: str) -> bool:
    """Whether both are the same letter."""
    return extracted != "" and extracted == target


def _boxed(box: str) -> str:
    """The one letter of a box, or the label that it starts with: two letters are no answer."""
    content = _WORDS.sub(" ", box)
    letters = set(_LETTER.findall(content))
    if len(letters) == 1:
        return str(letters.pop())
    label = _LABEL.match(content)
    return label[1] if label else ""
