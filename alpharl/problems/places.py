"""Where an answer stands in a text. All searches take time linear in the text's length."""

from __future__ import annotations

import re

_BRACES = re.compile(r"(?P<box>\\f?boxed\s*\{)|\\.|(?P<open>\{)|(?P<close>\})", re.DOTALL)
# A heading of the fourth level also starts with ####, but a word follows.
_PHRASE = re.compile(
    r"####(?!\s*[A-Za-z])|\banswers?\W{0,3}(?:\s(?:is|are)\b|[:=])[\s:*]*", re.IGNORECASE
)


def last_box(text: str) -> str | None:
    r"""Content of the last `\boxed{...}` that is closed; None without one."""
    opened: list[int | None] = []
    start = end = -1
    for token in _BRACES.finditer(text):
        if token["box"] or token["open"]:
            opened.append(token.end() if token["box"] else None)
        elif token["close"] and opened:
            box = opened.pop()
            if box is not None and box > start:
                start, end = box, token.start()
    return text[start:end] if end >= 0 else None


def after_phrase(text: str) -> str | None:
    """The rest of the line after the last `####`, "answer is" or "answer:"; None without one."""
    ends = [match.end() for match in _PHRASE.finditer(text)]
    if not ends:
        return None
    return " ".join(text[ends[-1] :].lstrip().partition("\n")[0].split())
