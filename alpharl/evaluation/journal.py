"""JSON lines on disk, written as they come, so that a killed job goes on where it stopped.

The first line, the head, says what the lines are of. A file with another head is worth nothing, and
so is a line that a kill or a crash broke, with all that follow.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from alpharl.checkpoints.header import unique_json

Row = dict[str, Any]
_START, _END, _DIGITS = b'{"digest": "', b'", ', 16
_HEAD = len(_START) + _DIGITS + len(_END)


class Journal:
    """The lines of one head.

    They stay on disk until they are asked for: those of a long suite fill a machine's memory.
    """

    def __init__(
        self, path: Path | None, head: Mapping[str, Any], take: Callable[[int, Row], None]
    ) -> None:
        """Read what is there under the same head. This changes nothing on disk.

        Args:
            path: the file; None holds the lines in memory.
            head: the first line.
            take: called with the offset and the content of each line after it; a ValueError says
                that the line is none that is written here, and worth as little as a broken one.
        """
        self._path, self._head = path, dict(head)
        self._file: BinaryIO | None = None if path else io.BytesIO()
        self._size = 0
        if path and path.is_file():
            with path.open("rb") as file:
                self._read(file, take)

    def close(self) -> None:
        """Close the file; the next line would open it again."""
        if self._file and self._path:
            self._file.close()
            self._file = None

    def append(self, line: Row) -> int:
        """Write a line; it survives a kill of this process from here on.

        Returns:
            Where it stands.
        """
        file = self._file or self._open()
        file.seek(self._size)
        offset = self._size
        self._size += file.write(_encoded(line))
        file.flush()
        return offset

    def lines_at(self, offsets: Sequence[int]) -> list[Row]:
        """The lines at some offsets."""
        if self._file:
            return _lines_at(self._file, offsets)
        assert self._path
        with self._path.open("rb") as file:
            return _lines_at(file, offsets)

    def _read(self, file: BinaryIO, take: Callable[[int, Row], None]) -> None:
        lines = _whole_lines(file)
        if next(lines, (0, {}))[1] != self._head:
            return
        for offset, line in lines:
            try:
                take(offset, line)
            except ValueError:
                self._size = offset
                return
        self._size = file.tell()

    def _open(self) -> BinaryIO:
        """Open the file behind its last whole line, or as a new one."""
        assert self._path
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch()
        file = self._file = self._path.open("rb+")
        file.truncate(self._size)
        if not self._size:
            self._size = file.write(_encoded(self._head))
        return file


class RowFile:
    """Rows of a table by key, each on disk as soon as it is made."""

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        """Take the rows that a killed job had made of the same."""
        self._path, self._rows = path, dict[str, Row]()
        self._journal = Journal(path, head, self._take)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __getitem__(self, key: str) -> Row:
        return self._rows[key]

    def __setitem__(self, key: str, row: Row) -> None:
        """Add a row."""
        self._rows[key] = row
        self._journal.append({"key": key, "row": row})

    def remove(self) -> None:
        """Remove the file, and its folder if that is empty: the table is made, or cannot be."""
        self._journal.close()
        self._path.unlink(missing_ok=True)
        with suppress(OSError):
            self._path.parent.rmdir()

    def _take(self, offset: int, line: Row) -> None:
        if not isinstance(line.get("key"), str) or not isinstance(line.get("row"), dict):
            raise ValueError("no row of a table")
        self._rows[line["key"]] = line["row"]


def read_head(path: Path) -> Row:
    """What the lines of a file are of; empty where it has no whole first line."""
    with path.open("rb") as file:
        return next(_whole_lines(file), (0, {}))[1]


def _whole_lines(file: BinaryIO) -> Iterator[tuple[int, Row]]:
    """Each line's offset and content, up to the first that is broken.

    The file then stands behind the last whole line.
    """
    offset = 0
    while (line := file.readline()).endswith(b"\n"):
        try:
            content = _decoded(line)
        except ValueError:
            break
        yield offset, content
        offset += len(line)
    file.seek(offset)


def _lines_at(file: BinaryIO, offsets: Sequence[int]) -> list[Row]:
    lines = []
    for offset in offsets:
        file.seek(offset)
        lines.append(_decoded(file.readline()))
    return lines


def is_whole(path: Path) -> bool:
    """Whether each line of a file is as it was written."""
    with path.open("rb") as file:
        for _ in _whole_lines(file):
            pass
        return not file.read(1)


def _encoded(line: Row) -> bytes:
    """A line, whose first key is the digest of the others."""
    content = json.dumps(line).encode()[1:] + b"\n"
    return _START + _digest(content) + _END + content


def _decoded(line: bytes) -> Row:
    """What a line holds.

    Raises:
        ValueError: it is not as it was written.
    """
    content = line[_HEAD:]
    if line[:_HEAD] != _START + _digest(content) + _END:
        raise ValueError("not the content of its digest")
    try:
        row: Row = unique_json((b"{" + content).decode())
    except RecursionError:
        raise ValueError("values nest too deeply in it") from None
    return row


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest()[:_DIGITS].encode()
