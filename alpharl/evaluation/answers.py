"""A model's answers on disk: kept as they come, so that a killed job loses what was under way.

`<variant>.answers.jsonl` beside the result: a first line that says what answered; then a line per
answer, and before those of each session one with the versions of the engine. It is no stage's
output, and may be deleted when nothing more is to be scored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from alpharl.errors import EvaluationError

Row = dict[str, Any]
Place = tuple[str, str, int]
"""Task, digest of the prompt and its decoding, number of the sample."""


class AnswerFile:
    """The answers of one model, by task, prompt and sample; a context manager.

    Texts stay on disk until they are asked for: those of a long suite fill a machine's memory.
    """

    def __init__(self, path: Path | None, head: Mapping[str, Any]) -> None:
        """Read what is there, if the same model gave it in the same way.

        Args:
            path: the file; None keeps the answers in memory.
            head: the first line; another one makes the old answers worthless.
        """
        self._path, self._head = path, dict(head)
        self._file: BinaryIO | None = None
        self._versions: Mapping[str, str] = {}
        self._places: dict[Place, int] = {}
        self._texts: dict[Place, str] = {}
        self._size = 0
        self.rows: dict[Place, Row] = {}
        """All of an answer but its text; `versions` are those of the engine that gave it."""
        if path is not None and path.is_file():
            self._read(path)

    def __enter__(self) -> AnswerFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file:
            self._file.close()

    def begin(self, versions: Mapping[str, str]) -> None:
        """Say whose answers come next."""
        self._versions = versions
        self._write({"versions": dict(versions)})

    def add(self, place: Place, row: Row, text: str | None = None) -> None:
        """Keep an answer; it survives a kill of this process from here on."""
        task, prompt, sample = place
        line = {"task": task, "prompt": prompt, "sample": sample, **row}
        if text is not None:
            line["text"] = text
        if self._path is None and text is not None:
            self._texts[place] = text
        self._places[place] = self._write(line)
        self.rows[place] = {**row, "versions": self._versions}

    def texts(self, places: Sequence[Place]) -> list[str]:
        """The texts of answers."""
        if self._path is None:
            return [self._texts[place] for place in places]
        with self._path.open("rb") as file:
            return [_text_at(file, self._places[place]) for place in places]

    def _read(self, path: Path) -> None:
        with path.open("rb") as file:
            lines = _whole_lines(file)
            if next(lines, (0, {}))[1] != self._head:
                return
            for at, line in lines:
                if "versions" in line:
                    self._versions = line["versions"]
                    continue
                line.pop("text", None)
                place = line.pop("task"), line.pop("prompt"), line.pop("sample")
                self.rows[place] = {**line, "versions": self._versions}
                self._places[place] = at
            self._size = file.tell()

    def _write(self, line: Row) -> int:
        """Write a line at the end; where it stands."""
        if self._path is None:
            return 0
        file = self._file or self._open(self._path)
        at = self._size
        self._size += file.write(json.dumps(line).encode() + b"\n")
        file.flush()
        return at

    def _open(self, path: Path) -> BinaryIO:
        """Open the file behind its last whole line, or as a new one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        file = self._file = path.open("rb+")
        file.truncate(self._size)
        file.seek(self._size)
        if not self._size:
            self._size = file.write(json.dumps(self._head).encode() + b"\n")
        return file


def open_answers(path: Path) -> AnswerFile:
    """The answers of a file, whichever model gave them.

    Raises:
        EvaluationError: there is no such file.
    """
    if not path.is_file():
        raise EvaluationError(f"{path}: found no answers; score the variant again")
    with path.open("rb") as file:
        _, head = next(_whole_lines(file), (0, {}))
    return AnswerFile(path, head)


def merged_versions(rows: Iterable[Row]) -> dict[str, str]:
    """Versions of all engines that gave answers; several of one library are listed."""
    found: dict[str, dict[str, None]] = {}
    for versions in {id(row["versions"]): row["versions"] for row in rows}.values():
        for name, version in versions.items():
            found.setdefault(name, {})[version] = None
    return {name: ", ".join(versions) for name, versions in found.items()}


def _whole_lines(file: BinaryIO) -> Iterator[tuple[int, Row]]:
    """Each line's place and content, up to the first that a kill or a crash left broken.

    The file then stands behind the last whole line.
    """
    at = 0
    while (line := file.readline()).endswith(b"\n"):
        try:
            content = json.loads(line)
        except ValueError:
            break
        yield at, content
        at += len(line)
    file.seek(at)


def _text_at(file: BinaryIO, place: int) -> str:
    file.seek(place)
    text: str = json.loads(file.readline())["text"]
    return text
