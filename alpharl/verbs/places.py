"""Options that say where a verb writes, all looked at before it starts.

A result must not take the place of what the same command reads, nor of another of its results. So
the parser knows which options name what is written, and takes all other paths for inputs.
"""

from __future__ import annotations

import argparse
import glob
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from alpharl.errors import StudyError
from alpharl.verbs.apart import Named, has_config, require_apart, require_distinct
from alpharl.verbs.outputs import require_end, require_file, require_folder, require_room

Values = Mapping[str, Any]
"""What a command line says, by name."""
_PATH = re.compile(r"\b(FILE|FOLDER|PATTERN|STUDY|MODEL)\b")
"""What options that take paths call their values."""
_SCRATCH = {"stage"}
"""Folders that are no inputs, though they must be there."""


class Output(argparse._StoreAction):
    """An option that names what is written: a file or a folder."""

    def __init__(
        self, *, writes: Callable[[Values], Sequence[Path]] | None = None, **kwargs: Any
    ) -> None:
        """As any option.

        Args:
            writes: all that is written, by the values of all options, where that is more than what
                the option names: files next to it, or those in a folder.
            kwargs: those of `argparse`.
        """
        super().__init__(**kwargs)
        self._writes = writes

    def paths(self, values: Values) -> Sequence[Path]:
        """What is written, as far as it is known before; of a pattern, what is there."""
        if self._writes:
            return self._writes(values)
        return [path for text in _texts(values[self.dest]) for path in _matches(text)]

    def require(self, values: Values) -> None:
        """Refuse what cannot be written."""
        for path in self.paths(values):
            require_room(path)

    def named(self, values: Values) -> list[Named]:
        """What is written, to compare with what is read."""
        return [Named(self.option_strings[0], path) for path in self.paths(values)]


class OutputNew(Output):
    """One that names what must not be there yet, as the verb itself sees to."""

    def named(self, values: Values) -> list[Named]:
        """Nothing: what is not there is no input."""
        return []


class OutputFile(Output):
    """One that names a file, several, or a pattern."""

    def require(self, values: Values) -> None:
        """Refuse a folder, a device, and what cannot be written."""
        for path in self.paths(values):
            require_file(path)


class OutputTable(OutputFile):
    """One that names a Parquet file, next to which a CSV file is written."""

    def paths(self, values: Values) -> Sequence[Path]:
        """Both files."""
        out: Path = values[self.dest]
        return [out, out.with_suffix(".csv")]

    def require(self, values: Values) -> None:
        """Refuse also a name that the CSV file would have too."""
        out: Path = values[self.dest]
        if out.suffix == ".csv":
            raise StudyError(
                f"{out}: found a CSV file's name, expected one for Parquet, such as "
                f"{out.with_suffix('.parquet')}; the CSV file is written next to it"
            )
        super().require(values)


class OutputFolder(OutputFile):
    """One that names a folder, in which files may be that are not written."""

    def paths(self, values: Values) -> Sequence[Path]:
        """The files in it that are written."""
        return self._writes(values) if self._writes else []

    def require(self, values: Values) -> None:
        """Refuse what is no folder, and what cannot be written in it."""
        require_folder(values[self.dest])
        super().require(values)

    def named(self, values: Values) -> list[Named]:
        """The folder too, which must be no model that is read."""
        folder = Named(self.option_strings[0], values[self.dest], whole=False)
        return [folder, *super().named(values)]


class OutputFolders(OutputFolder):
    """One that names a folder of folders, which are written one by one."""

    def require(self, values: Values) -> None:
        """Refuse what is no folder."""
        for folder in (values[self.dest], *self.paths(values)):
            require_folder(folder)


class OutputModel(Output):
    """One that names a folder which is put in place as a whole."""

    def __init__(self, *, replaces: bool = False, **kwargs: Any) -> None:
        """As any option.

        Args:
            replaces: whether the verb replaces what stands there without looking at it.
            kwargs: as for `Output`.
        """
        super().__init__(**kwargs)
        self._replaces = replaces

    def require(self, values: Values) -> None:
        """Refuse a file; and a folder of something else, if it would be replaced."""
        folder: Path = values[self.dest]
        require_folder(folder)
        is_other = folder.is_dir() and any(folder.iterdir()) and not has_config(folder)
        if self._replaces and is_other:
            raise StudyError(
                f"{folder}: found a folder without config.json, expected a model folder to "
                "replace, or none; name another"
            )


def require_places(parser: argparse.ArgumentParser, values: Values) -> None:
    """Refuse a command that could not write, or would write what it reads, or one file twice.

    Args:
        parser: the verb's.
        values: what the command line says.

    Raises:
        StudyError: names the path, the options, and what to do.
    """
    outputs = [a for a in parser._actions if isinstance(a, Output) and values.get(a.dest)]
    for output in outputs:
        output.require(values)
    named = [named for output in outputs for named in output.named(values)]
    require_distinct(named)
    inputs = list(_inputs(parser, values))
    for read in inputs:
        require_end(read.path)
    require_apart(named, inputs)


def _inputs(parser: argparse.ArgumentParser, values: Values) -> Iterator[Named]:
    """The files and folders that a command line names and does not write."""
    for action in parser._actions:
        if not is_input(action):
            continue
        option = action.option_strings[0] if action.option_strings else "the command"
        for text in _texts(values.get(action.dest)):
            # Also the path of NAME=PATH.
            for path in dict.fromkeys([text, text.partition("=")[2]]):
                yield from (Named(option, p) for p in _matches(path) if os.path.lexists(p))


def is_input(action: argparse.Action) -> bool:
    """Whether an option names files or folders that are read."""
    is_path = bool(_PATH.search(str(action.metavar or "")))
    return is_path and action.dest not in _SCRATCH and not isinstance(action, Output)


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return [str(v) for v in values if isinstance(v, str | Path) and str(v)]


def _matches(text: str) -> list[Path]:
    """The path, or those of a pattern that are there."""
    if "{step}" not in text and "{shard}" not in text:
        return [Path(text)] if text else []
    pattern = glob.escape(text).replace("{step}", "[0-9]*").replace("{shard}", "[0-9]*")
    return [Path(match) for match in sorted(glob.glob(pattern))]
