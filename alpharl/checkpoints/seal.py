"""Seals: a file that was written here holds the digest of itself. Torch-free.

The digest stands in the file under the key `seal`, the last one of the JSON, which in safetensors
is a text among the header's metadata. It is the SHA-256 of the whole file with zeros in its own
place, so that no change of a byte goes unnoticed.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from alpharl.errors import ArtefactError

KEY = "seal"
BLANK = "0" * 64
_SEAL = re.compile(rb'\\?"seal\\?": \\?"([0-9a-f]{64})\\?"')
_PIECE = 1 << 20
_HEADER = 100_000_000
"""Bytes of a header of safetensors, at most."""


def seal(path: Path) -> None:
    """Put the digest of a file of safetensors where it holds the blank one."""
    at, _ = _place(path)
    digest = _digest(path, at)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(digest.encode())


def sealed(text: str) -> str:
    """A text with its digest where it holds the blank one, the last if it has several."""
    head, blank, tail = text.rpartition(BLANK)
    assert blank
    return head + hashlib.sha256(text.encode()).hexdigest() + tail


def require_sealed(path: Path, maker: str) -> None:
    """Refuse a file that is not byte for byte as it was written.

    Args:
        path: the file.
        maker: the command that wrote it.

    Raises:
        ArtefactError: it has no seal, or another content than the seal says.
    """
    try:
        at, digest = _place(path)
        whole = _digest(path, at) == digest
    except LookupError:
        raise ArtefactError(
            f"{path}: found no digest of its own in it, expected a file that `{maker}` wrote: make "
            "it again", path,
        ) from None  # fmt: skip
    if not whole:
        raise ArtefactError(
            f"{path}: found other content than its own digest says, expected it as `{maker}` wrote "
            "it: make it again", path,
        )  # fmt: skip


def _place(path: Path) -> tuple[int, str]:
    """Where the digest stands in a file, and what it is: in a header, or at the end of a text."""
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")  # of text, an absurd number
        file.seek(0)
        found = list(_SEAL.finditer(file.read(8 + header if header < _HEADER else -1)))
    if not found:
        raise LookupError(path)
    return found[-1].start(1), found[-1][1].decode()


def _digest(path: Path, at: int) -> str:
    """SHA-256 of a file with zeros from `at` on."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(at) + BLANK.encode())
        file.seek(len(BLANK), 1)
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
