"""What a row of the tables of bad inputs is. Each kind of input has a module with its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BadInput:
    """An input that is refused, whichever of some commands meets it."""

    name: str
    """A few words; they name the test."""
    spoil: Callable[[Path], object]
    """Changes the good files of `tests.bad_inputs.good`, which lie in this folder."""
    line: str
    """Regular expression that the one line on standard error holds."""
    calls: Mapping[str, str]
    """Command lines, without `alpharl`, by a short name."""
    status: int = 1
    """Exit status."""
    shell: str = ""
    """For inputs that are the machine's: bash in a process of its own, `{}` being the command."""


@dataclass(frozen=True)
class Faulty:
    """Checkpoints that are not what their names say: verbs that conclude something say so first."""

    name: str
    """A few words; they name the test."""
    spoil: Callable[[Path], object]
    """Changes the good files of `tests.bad_inputs.good`, which lie in this folder."""
    kind: str
    """The audit's name of the fault."""
    says: str
    """Regular expression that the fault's line begins with."""
    calls: Mapping[str, tuple[str, int]]
    """Command lines, without `alpharl`, by a short name, with their exit statuses."""
