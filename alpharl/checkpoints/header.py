"""What one safetensors file declares, once the format's own library has accepted it.

A file is a little-endian 64-bit length, so many bytes of JSON, and the tensors one after the other
(https://huggingface.co/docs/safetensors). Nothing here reads a weight or imports torch.
"""

from __future__ import annotations

import json
import math
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from alpharl.errors import CheckpointError
from alpharl.failures import pass_on

_LIMIT = 100_000_000
"""Bytes of a header that the library reads, at most."""
_PREAMBLE = "Error while deserializing header: "
_MALFORMED = (SafetensorError, struct.error, ValueError, KeyError, TypeError, RecursionError)


@dataclass(frozen=True)
class TensorInfo:
    """One tensor as its file's header declares it."""

    name: str
    file: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return self.stop - self.start

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def read_header(path: Path) -> list[TensorInfo]:
    """Declared tensors of one file, in file order.

    The format's own library opens the file first, which takes a third of a millisecond for a 7B
    model. So nothing is read here that it refuses: offsets that overlap, leave gaps or leave the
    file, bytes that do not fit shape and dtype, unknown dtypes, broken JSON. A name that stands
    twice is refused too, of which the library would take the last.

    Raises:
        CheckpointError: the file is missing, cut short, or not safetensors.
    """
    try:
        path.open("rb").close()  # `safe_open` takes all that it cannot open for missing
        with safe_open(path, framework="numpy"):
            return _declared(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; copy the model again") from None
    except (OSError, MemoryError) as error:
        pass_on(error)
        raise CheckpointError(
            f"{path}: cannot be opened ({error}); look at its permissions, and at the limit on "
            "virtual memory (`ulimit -v`)"
        ) from None
    except _MALFORMED as error:
        raise CheckpointError(f"{path}: {_what_is_wrong(path, error)}; copy it again") from None


def _declared(path: Path) -> list[TensorInfo]:
    """The tensors of a header that is valid, but for names that stand twice."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(_LIMIT, path.stat().st_size):
            raise ValueError("its header is too long")
        header: dict[str, Any] = unique_json(file.read(length).decode())
    header.pop("__metadata__", None)
    infos = [_info(name, path.name, entry, 8 + length) for name, entry in header.items()]
    return sorted(infos, key=lambda info: (info.start, info.stop))


def _info(name: str, file: str, entry: dict[str, Any], data: int) -> TensorInfo:
    start, stop = entry["data_offsets"]
    if not isinstance(entry["dtype"], str):
        raise TypeError(f"dtype of {name} is no text")
    return TensorInfo(name, file, entry["dtype"], tuple(entry["shape"]), data + start, data + stop)


def unique_json(text: str) -> Any:
    """Parse JSON whose objects hold no key twice.

    Raises:
        ValueError: it is no such JSON.
    """
    return json.loads(text, object_pairs_hook=_unique)


def finite_json(text: str) -> Any:
    """Parse JSON as it is written here: no key stands twice in it, and all numbers are finite.

    Raises:
        ValueError: it is no such JSON, or nests too deeply.
    """
    try:
        return json.loads(
            text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite
        )
    except RecursionError:
        raise ValueError("values nest too deeply in it") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)} stands twice in it")
    return keys


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} stands in it, which is no finite number")
    return number


def _what_is_wrong(path: Path, error: Exception) -> str:
    """What a file that was refused is, in a few words."""
    with suppress(*_MALFORMED, OSError):
        size, stop = path.stat().st_size, max(info.stop for info in _declared(path))
        if size < stop:
            return f"found {size} bytes, expected {stop}; it is cut short"
    words = " ".join(str(error).removeprefix(_PREAMBLE).split())[:200]
    return f"not a safetensors file ({words or type(error).__name__})"
