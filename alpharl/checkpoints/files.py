"""Atomic writes of small files: a temporary name, fsync, rename. Torch-free."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file


def write_atomic(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place.

    A reader sees the old file or the whole new one, also after a kill.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Always the same name: what a killed process left is overwritten by the next try.
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.chmod(0o644)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_atomic(path, lambda partial: partial.write_text(text))


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically, readable by people, equal data giving equal bytes."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Any = None) -> None:
    """Write numpy arrays as safetensors atomically; `metadata` goes in as one JSON string."""
    packed = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    extra = None if metadata is None else {"alpharl": json.dumps(metadata)}
    write_atomic(path, lambda partial: save_file(packed, partial, metadata=extra))
