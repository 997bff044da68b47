"""Keys and passwords taken out of texts of libraries and servers before anybody prints them.

A study holds no secrets: keys stand in environment variables. Yet errors of libraries quote
addresses with passwords or signatures in them, headers, and keys that a server refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

HIDDEN = "***"
_SHORTEST = 8
"""Characters of a secret at least: shorter values, such as `none`, are words of any text."""
_NAMES_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
"""Environment variables that hold one, by the end of their name."""
_PATTERNS = [
    (re.compile(r"(\b[a-z][\w+.-]*://)[^\s/?#'\"<>]*@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    (re.compile(r"(\bhttps?://[^\s?'\"<>]*\?)[^\s'\"<>)]*", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(\bauthorization\b['\"]?\s*[:=]\s*)[^\r\n,;}]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"((?:passw(?:or)?d|secret|api[_-]?key|access[_-]?token|auth[_-]?token)"
            r"['\"]?\s*[:=]\s*['\"]?)[^\s'\"&,;]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(r"\b(?:hf_|sk-|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|AIza)[\w*-]{8,}"),
        HIDDEN,
    ),
]
"""Addresses with a user or a query, headers, values with a telling name, keys with a telling
beginning; what each is replaced by."""


def redacted(text: str, *secrets: str) -> str:
    """A text without keys and passwords.

    Args:
        text: of a library or a server.
        secrets: values that are known to be secret, on top of those of environment variables whose
            names say so.
    """
    for secret in sorted({*secrets, *_of_environment()}, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, HIDDEN)
    for pattern, hidden in _PATTERNS:
        text = pattern.sub(hidden, text)
    return text


def words(error: object, most: int = 300, *secrets: str) -> str:
    """What an error says, on one line of `most` characters, without keys and passwords."""
    # Before it is cut: half a key looks like none.
    return " ".join(redacted(str(error), *secrets).split())[:most]


def _of_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        if _NAMES_SECRET.search(name):
            yield value
