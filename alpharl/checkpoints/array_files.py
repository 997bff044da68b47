"""Arrays in safetensors files, written atomically. Torch-free."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from alpharl.checkpoints.seal import BLANK, KEY, seal
from alpharl.partials import Partial, partial_files

_FRAME = 100
"""Bytes of what stands around the metadata in a header."""


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Any = None) -> None:
    """Write numpy arrays as safetensors; with `metadata`, which go in as one JSON text, sealed."""
    packed = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    with partial_files([path]) as (partial,):
        if metadata is None:
            save_file(packed, partial)
        else:
            save_file(packed, partial, metadata={"alpharl": _sealed(metadata)})
            seal(partial)


def _sealed(metadata: Mapping[str, Any]) -> str:
    # Within the one text: the library writes several keys in an order of chance.
    return json.dumps({**metadata, KEY: BLANK})


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
        size = len(json.dumps(self._header)) + len(BLANK) + room
        self._start = 8 * math.ceil((size + _FRAME) / 8) + 8
        self._partial = Partial(path)
        try:
            with self._partial.path.open("wb") as file:
                file.truncate(self._start + at)
        except BaseException:
            self._partial.discard()
            raise

    def write(self, name: str, array: np.ndarray) -> None:
        """Put an array in its place.

        Raises:
            ValueError: it has not the declared shape.
        """
        entry = self._header[name]
        if list(array.shape) != entry["shape"]:
            raise ValueError(f"{name}: shape {array.shape}, declared {entry['shape']}")
        # Not kept open: hundreds of files may be written side by side.
        with self._partial.path.open("r+b") as file:
            file.seek(self._start + entry["data_offsets"][0])
            file.write(np.ascontiguousarray(array, dtype="<f4").data)

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Write the header and put the file in place."""
        header = {"__metadata__": {"alpharl": _sealed(metadata)}, **self._header}
        text = json.dumps(header).encode().ljust(self._start - 8)
        if len(text) > self._start - 8:
            raise ValueError(f"{self._path}: metadata need more than the room kept for them")
        with self._partial.path.open("r+b") as file:
            file.write(len(text).to_bytes(8, "little") + text)
        seal(self._partial.path)
        self._partial.commit()

    def discard(self) -> None:
        """Remove what was written; nothing happens after `finish`."""
        self._partial.discard()
