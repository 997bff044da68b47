"""A model's answers on disk: kept as they come, so that a killed job loses what was under way.

`<variant>.answers.jsonl` beside the result: a first line with the key of what answered, then a
line per answer. It is no stage's output, and may be deleted when nothing more is to be scored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from alpharl.errors import EvaluationError

Row = dict[str, Any]
Place = tuple[str, str, int]
"""Task, prompt, number of the sample."""


class AnswerFile:
    """The answers of one model, by task, prompt and sample; a context manager."""

    def __init__(self, path: Path | None, head: Mapping[str, Any]) -> None:
        """Read what is there, if the same model gave it in the same way.

        Args:
            path: the file; None keeps the answers in memory.
            head: the first line; another one makes the old answers worthless.
        """
        self._path, self._head = path, dict(head)
        self._file: TextIO | None = None
        self.rows: dict[Place, Row] = {}
        self._size = 0
        if path is not None and path.is_file():
            found, rows, size = _read(path)
            if found == self._head:
                self.rows, self._size = rows, size

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

    def add(self, place: Place, row: Row) -> None:
        """Keep an answer; it survives a kill of this process from here on."""
        self.rows[place] = row
        if self._path is None:
            return
        if self._file is None:
            self._file = self._open(self._path)
        task, prompt, sample = place
        line = {"task": task, "prompt": prompt, "sample": sample, **row}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def _open(self, path: Path) -> TextIO:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with path.open("rb+") as file:
            file.truncate(self._size)
        opened = path.open("a")
        if not self._size:
            opened.write(json.dumps(self._head) + "\n")
        return opened


def read_rows(path: Path) -> dict[Place, Row]:
    """The answers of a file, whichever model gave them.

    Raises:
        EvaluationError: there is no such file.
    """
    if not path.is_file():
        raise EvaluationError(f"{path}: found no answers; score the variant again")
    return _read(path)[1]


def _read(path: Path) -> tuple[Any, dict[Place, Row], int]:
    """First line, answers, and the bytes of all whole lines."""
    data = path.read_bytes()
    # A kill in the middle of a write leaves a last line without an end.
    whole = data[: data.rfind(b"\n") + 1]
    first, *lines = whole.decode().split("\n")
    rows: dict[Place, Row] = {}
    for line in filter(None, lines):
        row = json.loads(line)
        rows[row.pop("task"), row.pop("prompt"), row.pop("sample")] = row
    return json.loads(first) if first else None, rows, len(whole)
