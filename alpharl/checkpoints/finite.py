"""The digest of a weight file, and in the same pass whether all of its numbers are finite.

Torch-free. Of NaN and infinity, and of no other number, all bits of the exponent are set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

import numpy as np

from alpharl.checkpoints.header import TensorInfo, read_header
from alpharl.errors import CheckpointError

_EXPONENT = {
    "F64": (np.uint64, 0x7FF << 52), "F32": (np.uint32, 0xFF << 23), "F16": (np.uint16, 0x1F << 10),
    "BF16": (np.uint16, 0xFF << 7), "F8_E5M2": (np.uint8, 0x1F << 2),
    "F8_E4M3": (np.uint8, 0x7F),  # has no infinity, and one NaN of each sign
}  # fmt: skip
_PIECE = 1 << 18
"""Bytes that are read at a time, of whole elements: half of a core's cache."""


def digest_weights(path: Path) -> str:
    """SHA-256 of a safetensors file's content, as hex.

    Raises:
        CheckpointError: it is none, or holds a NaN or an infinity.
    """
    infos = read_header(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(infos[0].start if infos else -1))
        for info in infos:
            bad = 0
            for piece in _pieces(file, info):
                digest.update(piece)
                bad += _count_not_finite(piece, info.dtype)
            if bad:
                raise not_finite(path.parent, info.name, bad)
    return digest.hexdigest()


def not_finite(folder: Path, name: str, count: int) -> CheckpointError:
    """The error of a tensor of a model that holds NaN or infinity."""
    return CheckpointError(
        f"{folder}: {name} holds {count} values that are not finite (NaN or infinity); the "
        "checkpoint is broken, leave it out or save it again"
    )


def _pieces(file: BufferedReader, info: TensorInfo) -> Iterator[memoryview]:
    """A tensor's bytes, piece by piece; a piece is valid until the next one."""
    buffer = memoryview(bytearray(min(_PIECE, info.nbytes)))
    for start in range(0, info.nbytes, _PIECE):
        piece = buffer[: info.nbytes - start]
        if file.readinto(piece) < len(piece):
            raise CheckpointError(f"{file.name}: ends within {info.name}; copy it again")
        yield piece


def _count_not_finite(piece: memoryview, dtype: str) -> int:
    if dtype not in _EXPONENT:
        return 0
    kind, exponent = _EXPONENT[dtype]
    bits = np.frombuffer(piece, kind) & kind(exponent)
    # The largest is found faster than all that are equal to it.
    return int(np.count_nonzero(bits == exponent)) if bits.max() == exponent else 0
