"""A model's answers on disk, so that a killed job loses what was under way alone.

`<variant>.answers.jsonl` next to the result: a first line that says what answered; then a line per
answer, and before those of each session one with the versions of the engine. It is no stage's
output, and may be deleted when nothing more is to be scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, InstanceOf, TypeAdapter
from typing_extensions import TypedDict

from alpharl.errors import EvaluationError
from alpharl.evaluation.journal import Journal, Row, read_head

AnswerKey = tuple[str, str, int]
"""Task, digest of the prompt and its decoding, number of the sample."""


class _Answer(TypedDict):
    """A line with an answer: with its text, or of a private task with its grade."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    task: str
    prompt: str
    sample: Annotated[int, Field(ge=0)]
    tokens: Annotated[int, Field(ge=0)]
    finished: bool


class _Told(_Answer):
    text: InstanceOf[str]
    """Also one with half a character, which a server may send."""


class _Graded(_Answer):
    correct: Annotated[float, Field(ge=0, le=1)]
    answer: InstanceOf[str]
    graded_by: int


_VERSIONS = TypeAdapter(dict[str, str])
_ANSWER: TypeAdapter[Any] = TypeAdapter(_Told | _Graded)


class AnswerFile:
    """The answers of one model, by task, prompt and sample; a context manager."""

    def __init__(self, path: Path | None, head: Mapping[str, Any]) -> None:
        """Read what is there, if the same model gave it in the same way.

        Args:
            path: the file; None holds the answers in memory.
            head: the first line; another one makes the old answers worthless.
        """
        self._versions: Mapping[str, str] = {}
        self._offsets: dict[AnswerKey, int] = {}
        self.rows: dict[AnswerKey, Row] = {}
        """All of an answer but its text; `versions` are those of the engine that gave it."""
        self._journal = Journal(path, head, self._take)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._journal.close()

    def begin(self, versions: Mapping[str, str]) -> None:
        """Say whose answers come next."""
        self._versions = versions
        self._journal.append({"versions": dict(versions)})

    def add(self, key: AnswerKey, row: Row, text: str | None = None) -> None:
        """Add an answer; it survives a kill of this process from here on."""
        task, prompt, sample = key
        line = {"task": task, "prompt": prompt, "sample": sample, **row}
        if text is not None:
            line["text"] = text
        self._offsets[key] = self._journal.append(line)
        self.rows[key] = {**row, "versions": self._versions}

    def texts(self, keys: Sequence[AnswerKey]) -> list[str]:
        """The texts of answers."""
        return [row["text"] for row in self._journal.lines_at([self._offsets[key] for key in keys])]

    def _take(self, offset: int, line: Row) -> None:
        """Note a line that is there already; its text stays on disk."""
        if line.keys() == {"versions"}:
            self._versions = _VERSIONS.validate_python(line["versions"], strict=True)
            return
        line = {**_ANSWER.validate_python(line, strict=True)}
        line.pop("text", None)
        key = line.pop("task"), line.pop("prompt"), line.pop("sample")
        self.rows[key] = {**line, "versions": self._versions}
        self._offsets[key] = offset


def open_answers(path: Path) -> AnswerFile:
    """The answers of a file, whichever model gave them.

    Raises:
        EvaluationError: there is no such file.
    """
    if not path.is_file():
        raise EvaluationError(f"{path}: found no answers; score the variant again")
    return AnswerFile(path, read_head(path))


def merged_versions(rows: Iterable[Row]) -> dict[str, str]:
    """Versions of all engines that gave answers; several of one library are listed."""
    libraries: dict[str, dict[str, None]] = {}
    for versions in {id(row["versions"]): row["versions"] for row in rows}.values():
        for name, version in versions.items():
            libraries.setdefault(name, {})[version] = None
    return {name: ", ".join(versions) for name, versions in libraries.items()}
