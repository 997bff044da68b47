"""Small files: atomic writes (a temporary name, fsync, rename), and strict reading. Torch-free."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import save_file

from alpharl.errors import ArtefactError
from alpharl.frozen import describe_error

Form = TypeVar("Form")


def write_atomic(path: Path, write: Callable[[Path], Any], mode: int = 0o644) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place with its access mode.

    A reader sees the old file or the whole new one, also after a kill.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Always the same name: what a killed process left is overwritten by the next try.
    partial = path.with_name(f".{path.name}.partial")
    try:
        if mode != 0o644:
            partial.unlink(missing_ok=True)
            partial.touch(mode)  # before there is anything to read
        write(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.chmod(mode)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a text file atomically."""
    write_atomic(path, lambda partial: partial.write_text(text), mode)


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically, readable by people, equal data giving equal bytes."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def read_json(path: Path, form: type[Form], maker: str) -> Form:
    """Read JSON that an earlier command wrote.

    Args:
        path: the file.
        form: what it has to be, such as a TypedDict; keys that this does not name are ignored.
        maker: the command that wrote it.

    Raises:
        ArtefactError: no file that can be read, or not of this form.
    """
    try:
        return TypeAdapter(form).validate_json(path.read_bytes())
    except OSError as error:
        wrong = error.strerror or str(error)
    except ValidationError as error:
        wrong = describe_error(error.errors()[0])
    raise ArtefactError(f"{path}: {wrong}; expected a file that `{maker}` wrote: make it again")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Any = None) -> None:
    """Write numpy arrays as safetensors atomically; `metadata` goes in as one JSON string."""
    packed = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    extra = None if metadata is None else {"alpharl": json.dumps(metadata)}
    write_atomic(path, lambda partial: save_file(packed, partial, metadata=extra))


class ArrayFile:
    """Writes float32 arrays of a known layout into a safetensors file one by one, atomically.

    Nothing but the array at hand is held in memory. The metadata come last; the header keeps room
    for them.
    """

    def __init__(self, path: Path, shapes: Mapping[str, tuple[int, ...]], room: int) -> None:
        """Start the file.

        Args:
            path: the file; until `finish`, only its partial name exists.
            shapes: of each array, in the file's order.
            room: bytes kept for the metadata.
        """
        self._path, self._header, at = path, dict[str, Any](), 0
        for name, shape in shapes.items():
            end = at + 4 * math.prod(shape)
            self._header[name] = {
                "dtype": "F32", "shape": list(shape), "data_offsets": [at, end]
            }  # fmt: skip
            at = end
        self._start = 8 * math.ceil((len(json.dumps(self._header)) + room) / 8) + 8
        path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = path.with_name(f".{path.name}.partial")
        self._file = self._partial.open("wb")
        self._file.truncate(self._start + at)

    def write(self, name: str, array: np.ndarray) -> None:
        """Put an array in its place.

        Raises:
            ValueError: it has not the declared shape.
        """
        entry = self._header[name]
        if list(array.shape) != entry["shape"]:
            raise ValueError(f"{name}: shape {array.shape}, declared {entry['shape']}")
        self._file.seek(self._start + entry["data_offsets"][0])
        self._file.write(np.ascontiguousarray(array, dtype="<f4").data)

    def finish(self, metadata: Any) -> None:
        """Write the header and put the file in place."""
        header = {"__metadata__": {"alpharl": json.dumps(metadata)}, **self._header}
        text = json.dumps(header).encode().ljust(self._start - 8)
        if len(text) > self._start - 8:
            raise ValueError(f"{self._path}: metadata need more than the room kept for them")
        self._file.seek(0)
        self._file.write(len(text).to_bytes(8, "little") + text)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.chmod(0o644)
        self._partial.replace(self._path)

    def discard(self) -> None:
        """Remove what was written; nothing happens after `finish`."""
        self._file.close()
        self._partial.unlink(missing_ok=True)
