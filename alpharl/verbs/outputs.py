"""What verbs write and how they say so, and which places they refuse."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpharl.errors import StudyError
from alpharl.sums import write_summed
from alpharl.verbs.result import Table, Written

if TYPE_CHECKING:
    import pandas as pd

_SYSTEM = ("/dev/", "/proc/", "/sys/")
_PARTIAL_BYTES = 24
"""What the name of a file gets more while it is being written."""


class WrittenQuestions(Written):
    """Files of questions that a verb wrote."""

    questions: int
    """Number of questions."""

    def blocks(self) -> Iterator[str | Table]:
        """A line each, and the number."""
        yield from super().blocks()
        yield f"{self.questions} questions"


def require_end(path: Path) -> None:
    """Refuse an input that may have no end; pipes have one.

    Raises:
        StudyError: it is a device, such as /dev/zero.
    """
    if path.is_char_device() or path.is_block_device():
        raise StudyError(f"{path}: found a device, expected a file or a folder to read; name one")


def require_room(path: Path) -> None:
    """Refuse a path at which nothing can be made, before anything is computed for it.

    Raises:
        StudyError: its folder is none, or must not be written to; or its name is too long.
    """
    parents = path.absolute().parents
    there = next(filter(os.path.lexists, parents), path)
    _require_open(path, there)
    most = os.pathconf(there, "PC_NAME_MAX") - _PARTIAL_BYTES
    names = path.absolute().relative_to(there.absolute()).parts
    longest = max(map(len, map(os.fsencode, names)), default=0)
    if longest > most:
        raise StudyError(
            f"{path}: found a name of {longest} bytes, expected at most {most}; shorten it"
        )


def require_file(file: Path) -> None:
    """Refuse a file that could not be written.

    Raises:
        StudyError: a folder or a device stands there, or as `require_room`.
    """
    require_room(file)
    if file.is_dir():
        raise StudyError(f"{file}: found a folder, expected a file to write; name one in it")
    if (file.exists() and not file.is_file()) or _is_of_system(file):
        raise StudyError(
            f"{file}: found a device or a pipe, whose place the file would take; name a file"
        )


def _is_of_system(path: Path) -> bool:
    """Whether a path, or a link that it is, lies where the system shows devices and processes.

    /dev/stdout is a link to a file wherever standard output goes to one.
    """
    seen = {path.absolute()}
    while path.is_symlink() and (path := path.parent.absolute() / path.readlink()) not in seen:
        seen.add(path)
    return any(os.path.normpath(p).startswith(_SYSTEM) for p in seen)


def require_folder(folder: Path) -> None:
    """Refuse a folder that could not be written.

    Raises:
        StudyError: something else stands there, or it must not be written to, or as `require_room`.
    """
    require_room(folder)
    if os.path.lexists(folder) and not folder.is_dir():
        raise StudyError(
            f"{folder}: exists already as a file, expected a folder to write; name another"
        )
    if folder.is_dir():
        _require_open(folder, folder)


def _require_open(path: Path, folder: Path) -> None:
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return
    found = "no folder"
    if folder.is_dir():
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        found = "a read-only file system" if read_only else "no permission to write"
    raise StudyError(f"{path}: found {found} at {folder}, expected a folder to write to; name one")


def write_table(table: pd.DataFrame, out: Path) -> list[str]:
    """Write a table as Parquet, and as CSV next to it; the paths of both."""
    twin = out.with_suffix(".csv")
    write_summed({
        out: lambda p: table.to_parquet(p, index=False),
        twin: lambda p: table.to_csv(p, index=False),
    })  # fmt: skip
    return [str(out), str(twin)]


def write_csv(table: pd.DataFrame, out: Path) -> None:
    """Write a table as CSV."""
    write_summed({out: lambda p: table.to_csv(p, index=False)})


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table by column, as plain values; None where a number is not defined."""
    plain = table.astype(object)
    rows: list[Any] = plain.where(plain.notna(), None).to_dict("records")
    return rows
