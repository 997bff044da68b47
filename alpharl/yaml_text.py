"""Reads YAML, and refuses what it would read as something other than what people wrote.

In silence, YAML 1.1 takes the last of two equal keys, reads `0010` as 8, and lets a few lines of
aliases stand for more values than fit into memory.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from alpharl.errors import StudyError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"tag:yaml.org,2002:(int|float)")
_PLAIN = re.compile(r"[-+]?(0|[1-9][0-9]*|[0-9]*\.[0-9]*([eE][-+][0-9]+)?|\.[a-zA-Z]+)")
"""Numbers that mean in YAML what they mean elsewhere: 10, 0.5, 1.5e-3, .inf."""
_DEEPEST = 50
"""Values inside one another; a study has seven. Loaders fail, or crash, at some thousands."""
_MOST = 1_000_000
"""Values that a file may stand for, each use of an alias counted."""
_MOST_BYTES, _MOST_WRITTEN = 2**20, 100_000
"""Bytes of a file, and values written out in it. A second reads so many; no study has a tenth."""
_TOO_LONG = (
    "expected a study of some hundred values; name many checkpoints by a pattern, or in a 'table'"
)


class NotYaml(StudyError):
    """A text is not YAML at all."""


def read_text(path: str | Path) -> str:
    """The text of a YAML file that people wrote, without a mark of its byte order.

    Raises:
        StudyError: there is no such file, it is no text in UTF-8, or it is longer than any that a
            person writes.
    """
    try:
        data = _first_bytes(path)
    except FileNotFoundError:
        raise StudyError(f"{path}: no such study file; give the path of a YAML file") from None
    except (OSError, ValueError) as error:  # ValueError: a path that holds a zero byte
        reason = getattr(error, "strerror", None) or error
        raise StudyError(
            f"{path}: cannot be read ({reason}); give the path of a YAML file"
        ) from None
    if data is None:
        raise StudyError(
            f"{path}: no such study file, but a folder, a pipe or a device; give the path of a "
            "YAML file"
        )
    if len(data) > _MOST_BYTES:
        raise StudyError(f"{path}: found more than {_MOST_BYTES >> 20} MiB, {_TOO_LONG}")
    return _decoded(data, path)


def _first_bytes(path: str | Path) -> bytes | None:
    """As much of a file as is read of it, and a byte more; None of what may go on for ever."""
    # A pipe that nobody writes to would else wait for a writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        return file.read(_MOST_BYTES + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None


def _decoded(data: bytes, path: str | Path) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # as every other one is of a text in UTF-16
        raise StudyError(f"{path}: found no text in UTF-8, expected a YAML file; save it as that")
    return text


def read_yaml(text: str, where: str) -> Any:
    """What a YAML text says.

    Args:
        text: one document.
        where: file or option that it comes from, for the error.

    Raises:
        StudyError: it is not YAML; a key stands twice in a mapping; a number is written in a way
            that YAML reads otherwise; or it nests, or repeats aliases, without end.
    """
    require_plain(text, where)
    try:
        return yaml.load(text, Loader=_LOADER)
    except (yaml.YAMLError, AttributeError, ValueError) as error:  # ValueError: no such date
        raise NotYaml(f"{where}: not valid YAML: {_one_line(error)}") from None


def require_plain(text: str, where: str) -> None:
    """Refuse what `read_yaml` refuses, without reading what tags of other programs stand for.

    Args:
        text: one document.
        where: file or option that it comes from, for the error.

    Raises:
        StudyError: as `read_yaml`.
    """
    try:
        _require_shallow(text, where)
        node = yaml.compose(text, Loader=_LOADER)
        if node is not None:
            _Values(where).count(node)
    except yaml.YAMLError as error:
        raise NotYaml(f"{where}: not valid YAML: {_one_line(error)}") from None
    except RecursionError:
        raise StudyError(
            f"{where}: found aliases inside aliases without end; write out what is needed"
        ) from None


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error))


def _require_shallow(text: str, where: str) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        if count > _MOST_WRITTEN:
            raise StudyError(
                f"{_at(event, where)}: found more than {_MOST_WRITTEN:,} values, {_TOO_LONG}"
            )
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise StudyError(
                f"{_at(event, where)}: found more than {_DEEPEST} values inside one another, "
                "expected a few; check its brackets and its indentation"
            )


class _Values:
    """Looks at each value once, however often aliases repeat it."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._counts: dict[int, int] = {}

    def count(self, node: Node) -> int:
        """How many values a value stands for, itself included."""
        if id(node) not in self._counts:
            self._counts[id(node)] = 0
            self._counts[id(node)] = 1 + sum(map(self.count, self._parts(node)))
        count = self._counts[id(node)]
        if not 0 < count <= _MOST:
            what = (
                f"aliases that stand for more than {_MOST:,} values"
                if count
                else ("an alias inside the value that it stands for")
            )
            raise StudyError(f"{_at(node, self._where)}: found {what}; write out what is needed")
        return count

    def _parts(self, node: Node) -> list[Node]:
        if isinstance(node, MappingNode):
            self._require_distinct([key for key, _ in node.value])
            return [part for pair in node.value for part in pair]
        if isinstance(node, SequenceNode):
            return list(node.value)
        self._require_plain(node)
        return []

    def _require_distinct(self, keys: list[Node]) -> None:
        first: dict[tuple[str, str | float], Node] = {}
        for key in keys:
            if not isinstance(key, ScalarNode):
                continue
            self._require_plain(key)
            number = _NUMBER.fullmatch(key.tag) and key.value[-1:].isdecimal()
            value = float(key.value) if number else key.value
            before = first.setdefault((key.tag, value), key)
            if before is not key:
                raise StudyError(
                    f"{_at(key, self._where)}: found key '{key.value}' again, which stands on line "
                    f"{_line(before)} already; only the last would count, remove or rename one"
                )

    def _require_plain(self, node: Node) -> None:
        if _NUMBER.fullmatch(node.tag) and not _PLAIN.fullmatch(node.value):
            value = yaml.load(node.value, Loader=_LOADER)
            raise StudyError(
                f"{_at(node, self._where)}: found {node.value}, which YAML reads as {value}; write "
                "the number in plain digits, or a text in quotes"
            )


def _at(found: Any, where: str) -> str:
    return f"{where}: line {_line(found)}"


def _line(found: Any) -> int:
    return int(found.start_mark.line) + 1
