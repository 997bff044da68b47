r"""Where an answer stands in a part of a text: in `\boxed{}`, or after "the answer is" or `####`.

All searches take time linear in the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_BRACES = re.compile(r"(?P<box>\\f?boxed\s*\{|boxed\{)|\\.|(?P<open>\{)|(?P<close>\})", re.DOTALL)
_BARE_BOX = re.compile(r"\\f?boxed[ \t]*(-?[\d.][^\s{}$\\]*|[A-D]\b)")
LIST = re.compile(r"[\s$]*(?:,|,?\s*(?:and|or)|,?\s*\\text\s*\{\s*(?:and|or)\s*\})[\s$]*")
"""What stands between the parts of one answer."""
_FAR = 40
"""Characters between two boxes of one list, at most."""
_UNFILLED = re.compile(
    r"(?:[\s.…_?]|\\[lc]?dots)*"
    r"|[\W_]*(?:text\{ ?)?(?:your |the )?(?:final )?answer(?: here)?\W*",
    re.IGNORECASE,
)
# A heading of the fourth level also starts with ####, but a word follows.
_PHRASE = re.compile(
    r"####(?!\s*[A-Za-z#])|<answer>"
    r"|\banswers?(?:\s(?:to|of|for)\b[^.:=\n]{0,60}?)?\W{0,3}"
    r"(?:\s(?:is|are|(?:would|will|should|must) be|equals)\b|[:=])[\s:*]*",
    re.IGNORECASE,
)
_SAYS_NOTHING = re.compile(r"\W*(?:correct|right|wrong|clear|below|above|as follows|in the)\b")
_DENIED = re.compile(r"\W*not\s+(?:just\s+|simply\s+)?\S+", re.IGNORECASE)
_MOST_PHRASES = 8
"""Phrases that are read, from the last on: a model may repeat one without end."""
_LONGEST = 1000
"""Characters that are read of one."""


def stated_answer(
    part: str, boxed: Callable[[str], str], said: Callable[[str], str | None],
    guessed: Callable[[str], str],
) -> str | None:  # fmt: skip
    r"""What a part of a text states: its last box, else its last phrase such as "the answer is".

    A box that nothing stands in, such as one of the instruction repeated, is passed over. But what
    stands before it is no answer: `It was 7, so \boxed{}` gives none. Nor is what stands before a
    phrase that nothing can be read from, such as "the answer is unknown".

    Args:
        part: of a text.
        boxed: the answer that a box's content gives, "" for one that cannot be read.
        said: the answer that the line after a phrase gives; None for one that cannot be read.
        guessed: the answer that a text ends with.

    Returns:
        None for a part that states none.
    """
    box = last_box(part)
    if box:
        return boxed(box)
    unread = part.rindex("boxed") if box == "" else -1
    for start, line in _said(part):
        answer = said(line)
        if answer is not None:
            return answer
        unread = max(unread, start)
    return guessed(part[unread:]) if unread >= 0 else None


def last_box(text: str) -> str | None:
    r"""Content of the last `\boxed{...}` that is closed; None without one, "" if all are blank.

    Boxes with only a comma, "and" or "or" between them count as one with a list. So do boxes inside
    of a box.
    """
    if "boxed" not in text:
        return None
    boxes = _boxes(text)
    filled = [box for box in boxes if not _UNFILLED.fullmatch(text, box[1], box[2])]
    if not filled:
        bare = _BARE_BOX.findall(text)
        return bare[-1].rstrip(".,;") if bare else ("" if boxes else None)
    contents: list[str] = []
    following = -1
    for command, start, end in reversed(filled):
        apart = following - end > _FAR or not LIST.fullmatch(text, end + 1, following)
        if contents and apart:
            break
        contents.append(_opened(text[start:end]))
        following = command
    return ", ".join(dict.fromkeys(reversed(contents)))


def _boxes(text: str) -> list[tuple[int, int, int]]:
    """Outermost closed boxes, in order: where each one's command, its content and its end are."""
    opened: list[tuple[int, int] | None] = []
    boxes: list[tuple[int, int, int]] = []
    for token in _BRACES.finditer(text, max(0, text.index("boxed") - 2)):
        if token["box"] or token["open"]:
            opened.append((token.start(), token.end()) if token["box"] else None)
        elif token["close"] and opened:
            box = opened.pop()
            if box is None:
                continue
            while boxes and boxes[-1][0] > box[0]:
                boxes.pop()
            boxes.append((*box, token.start()))
    return boxes


def _opened(content: str) -> str:
    """A box's content without the commands of boxes in it."""
    if "boxed" not in content:
        return content
    content = re.sub(r"\\f?boxed\s*(?=\{)", "", content).strip()
    content = re.sub(r"\{\s*(\{[^{}]*\})\s*\}", r"\1", content)
    return content[1:-1].strip() if re.fullmatch(r"\{[^{}]*\}", content) else content


def _said(text: str) -> Iterator[tuple[int, str]]:
    """Where the last phrases end, and the rest of the line after each; the last one first."""
    ends = [match.end() for match in _PHRASE.finditer(text)]
    for end in reversed(ends[-_MOST_PHRASES:]):
        line = text[end : end + _LONGEST].lstrip().partition("\n")[0].partition("</answer>")[0]
        if line.strip("*$ ") and not _SAYS_NOTHING.match(line):
            denied = _DENIED.match(line)
            line = line[denied.end() :] if denied else line
            yield text.index(line, end), " ".join(line.split())
