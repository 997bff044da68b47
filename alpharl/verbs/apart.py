"""That no command writes what it reads, or one file twice: compared by the files, not their names.

Links of either kind, and other ways to write a path, make no difference.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from alpharl.errors import StudyError

_CONFIG = ("config.json", "adapter_config.json")
_MODEL = (*_CONFIG, "variant.json", "*.safetensors", "*.index.json")
"""What folders hold that are read as a whole."""
_AGAIN = ".json"
"""Results that may lie in a folder of inputs, as suites next to questions, and be made again."""


@dataclass(frozen=True)
class Named:
    """A path that a command line names."""

    option: str
    """The option, as errors call it."""
    path: Path
    """The path."""
    whole: bool = True
    """Whether all of a folder is meant, not the folder that other files may be in."""


def require_distinct(outputs: Iterable[Named]) -> None:
    """Refuse outputs of which one would take the place of another.

    Raises:
        StudyError: names both.
    """
    first: dict[object, Named] = {}
    for output in (output for output in outputs if output.whole):
        before = first.setdefault(_identity(output.path), output)
        if before is not output:
            options = " and by ".join(dict.fromkeys([before.option, output.option]))
            raise StudyError(
                f"{output.path}: would be written twice, by {options}; expected a file for each "
                "result: name another"
            )


def require_apart(outputs: Sequence[Named], inputs: Iterable[Named]) -> None:
    """Refuse outputs that would take the place of inputs, or lie in a model that is read.

    Raises:
        StudyError: names the output, the input and both options.
    """
    for read in inputs:
        for output in outputs:
            if what := _overlap(output, read):
                raise StudyError(
                    f"{output.path}: found {what}, expected another place for what {output.option} "
                    "writes; name one"
                )


def _overlap(output: Named, read: Named) -> str | None:
    """What an output is of an input, in words."""
    path, target, source = output.path, _real(output.path), _real(read.path)
    if _identity(path) == _identity(read.path):
        return f"what {read.option} reads"
    if output.whole and target in source.parents:
        return f"what {read.option} reads in it, {read.path}"
    if output.whole and read.path.is_dir() and _is_part(path, target, read.path, source):
        return f"a file of {read.path}, which {read.option} reads"
    return None


def _is_part(path: Path, target: Path, folder: Path, source: Path) -> bool:
    """Whether a file is one of a folder that is read, or would lie in a model's."""
    if source in target.parents and is_model(folder):
        return True
    if not path.is_file():
        return False
    if source in target.parents:
        return path.suffix != _AGAIN
    # Of another name, by a link of either kind.
    return any(_identity(file) == _identity(path) for file in folder.iterdir() if file.is_file())


def is_model(folder: Path) -> bool:
    """Whether a folder is read as a whole: a model, an adapter, a variant."""
    return any(next(folder.glob(pattern), None) for pattern in _MODEL)


def has_config(folder: Path) -> bool:
    """Whether a folder is a model's, or an adapter's."""
    return any((folder / name).is_file() for name in _CONFIG)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _identity(path: Path) -> object:
    """Equal for equal files, by whichever name; of what is not there yet, where it will be."""
    try:
        status = path.stat()
    except OSError:
        return _real(path)
    return status.st_dev, status.st_ino
