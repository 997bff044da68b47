"""Arrays in safetensors files, written atomically. Torch-free."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from alpharl.checkpoints.files import write_atomic


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
