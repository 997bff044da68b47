"""Small files: atomic writes (a temporary name, fsync, rename), and strict reading. Torch-free."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

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
