"""Which file an error is about. Torch-free."""

from __future__ import annotations

import errno
import os
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alpharl.system_errors import OF_WRITING, chain_of, first_words, number_of

PACKAGE = str(Path(__file__).parent)
_TORCH_WRITES = re.compile(r"unexpected pos|PytorchStreamWriter")
_PARTIAL = re.compile(r"\.(.+?)(\.[0-9a-f]{8})?\.partial(\.d)?")
"""Names of what is being written; the second group tells its writers apart, the third folders."""
_WRITTEN = {"out", "path", "partial", "record", "target", "place", "folder"}
"""What functions call what they write."""


def file_of(error: BaseException) -> str | None:
    """The file that an error is about, as a user knows it; None if that cannot be told.

    Writers of single bytes and readers of text do not name it. It is then what the innermost
    function of this package that works on a file was called with.
    """
    for part in chain_of(error):
        names = [getattr(part, name, None) for name in ("filename2", "filename")]
        for name in names:
            if isinstance(name, str | bytes | os.PathLike):
                return _shown(Path(os.fsdecode(name)))
        if isinstance(part, FileNotFoundError) and (file := quoted_file(part)):
            return _shown(file)
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return None
    arguments = [argument for frame in _frames(error) for argument in _paths(frame)]
    if first_words(_writing, error):
        arguments.sort(key=lambda argument: argument[0].lstrip("_") not in _WRITTEN)
    return next((_shown(path) for _, path in arguments), None)


def _writing(error: BaseException) -> bool:
    by_torch = isinstance(error, RuntimeError) and _TORCH_WRITES.search(str(error))
    return bool(by_torch) or number_of(error) in OF_WRITING


def quoted_file(error: FileNotFoundError) -> Path | None:
    """The file that a library's error quotes at the end of its words."""
    name = str(error).rpartition(": ")[2].strip("'\"")
    return Path(name) if name else None


def _shown(path: Path) -> str:
    """A file by its place, where it is not there yet."""
    for parent in (path, *path.parents):
        match = _PARTIAL.fullmatch(parent.name)
        if match and match[3] and parent != path:
            return str(parent.parent / path.relative_to(parent))
        if match:
            return str(parent.with_name(match[1]))
    return str(path)


def _frames(error: BaseException) -> Iterator[Any]:
    """The package's frames that an error came through, the innermost first."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        code = frame.f_code
        # The function of a verb is called with all that the command is about.
        if code.co_filename.startswith(PACKAGE) and code.co_name != "run":
            yield frame


def _paths(frame: Any) -> Iterator[tuple[str, Path]]:
    """The paths that a function was called with, by name, and those of the object it belongs to."""
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    values = [(name, frame.f_locals.get(name)) for name in names]
    if values and values[0][0] == "self":
        values[:1] = getattr(values[0][1], "__dict__", {}).items()
    yield from ((name, value) for name, value in values if isinstance(value, Path))
