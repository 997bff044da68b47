"""One round of a fuzzer: a mutant stands in place of a good file, and is read or refused.

What never may happen is a violation: an error that is no refusal, one that does not name the file,
something read that is not there, too much time or memory.
"""

from __future__ import annotations

import io
import logging
import os
import random
import resource
import shlex
import shutil
import signal
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alpharl.cli import main
from alpharl.errors import AlpharlError
from alpharl.failures import is_foreseen, line_of

SECONDS = 5
"""Processor time that a mutant may take."""
MEMORY = 256 << 10
"""KiB that a mutant may add to what the process had at most before."""
_ROOM = 4 << 30
"""Bytes beyond which the system gives no more, so that a violation does not end the machine."""
_FAULTS = ("a fault of this program", "cannot use (", "too little memory")
NEW = "new*"
"""What commands write in the folder of the good files."""


class TooLong(BaseException):
    """A mutant took more processor time than it may; no `Exception`, so that nobody catches it."""


@dataclass(frozen=True)
class Kind:
    """Files of one kind: how they are mutated, and what they have to be read as."""

    name: str
    mutate: Callable[[random.Random], str]
    """Changes a good file of the current folder; gives back its path."""
    read: Callable[[str], Any]
    """Gives the file to its readers; what they read of it."""
    check: Callable[[str, Any], None]
    """Compares what was read with an independent reading; whatever it raises is a violation."""
    calls: Mapping[str, Sequence[str]]
    """Command lines that read each file."""
    lenient: frozenset[str] = frozenset()
    """Verbs that read less of a file than the readers do, and may take what those refuse."""
    leads_to: tuple[str, ...] = ()
    """Words of a refusal of something that the file names, and not of the file."""
    share: float = 0.02
    """Rounds in which a whole command reads the file too."""
    compare: Callable[[str], None] = lambda call: None
    """Compares what a command that ended well has written, called with its line."""


@dataclass
class Outcomes:
    """What became of the mutants of a kind."""

    counts: Counter[str] = field(default_factory=Counter)
    """By `accepted`, `refused`, and `stricter`: refused, but not by the independent reader."""
    violations: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """Lines about them."""
    seconds: float = 0.0
    """Processor time."""

    @property
    def mutants(self) -> int:
        """How many there were."""
        return self.counts.total() + len(self.violations)


@dataclass(frozen=True)
class Good:
    """The good files below the current folder, and how they were."""

    files: dict[str, tuple[bytes, int]]

    @classmethod
    def here(cls) -> Good:
        """Those that are there."""
        paths = [path for path in Path().rglob("*") if path.is_file()]
        return cls({str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths})

    def restore(self) -> None:
        """Put back what was changed, with its time, and remove what is new."""
        for path in Path().glob(NEW):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, (data, time) in self.files.items():
            path = Path(name)
            if not path.is_file() or (path.stat().st_mtime_ns, path.stat().st_size) != (
                time,
                len(data),
            ):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                os.utime(path, ns=(time, time))


@contextmanager
def limited() -> Iterator[None]:
    """Within it, time and memory are those that a mutant may take.

    Raises:
        TooLong, AssertionError: it took more.
    """

    def end(number: int, frame: object) -> None:
        raise TooLong(f"more than {SECONDS} s")

    before, most = signal.signal(signal.SIGPROF, end), _most_memory()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _ROOM, limits[1]))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)
    added = _most_memory() - most
    assert added < MEMORY, f"took {added >> 10} MiB of memory"


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def require_refusal(error: Exception, file: str, leads_to: tuple[str, ...] = ()) -> None:
    """An error has to be one that is meant for a user, in a line, and to name the file."""
    assert is_foreseen(error), f"{type(error).__name__}: {error}"[:300]
    assert not isinstance(error, AlpharlError) or "\n" not in str(error), f"lines: {error}"
    _require_line(line_of(error), file, leads_to)


def _require_line(line: str, file: str, leads_to: tuple[str, ...]) -> None:
    faults = [fault for fault in _FAULTS if fault in line]
    assert not faults, line[:300]
    assert len(line) < 3000, f"a line of {len(line)} characters: {line[:300]}"
    if not file:
        return
    named = (Path(file).name, str(Path(file).parent), *leads_to)
    assert any(name in line for name in named), f"{file} is not named: {line[:300]}"


@contextmanager
def silent() -> Iterator[io.StringIO]:
    """Within it nothing is printed; what would be on standard error is in what it gives."""
    told = io.StringIO()
    with redirect_stderr(told), redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable()
        try:
            yield told
        finally:
            logging.disable(logging.NOTSET)


def command(call: str) -> tuple[int, str]:
    """Run one verb in this process: its exit status, and the last line of standard error."""
    with silent() as told:
        status = main(shlex.split(call))
    return status, (told.getvalue().splitlines() or [""])[-1]


def play(kind: Kind, seed: int, good: Good) -> str:
    """One round.

    Returns:
        `accepted` or `refused`.

    Raises:
        Exception, TooLong: a violation.
    """
    rng = random.Random(f"{kind.name} {seed}")
    file = kind.mutate(rng)
    outcome, read = "accepted", None
    with limited(), silent():
        try:
            read = kind.read(file)
        except Exception as error:
            require_refusal(error, file, kind.leads_to)
            outcome = "refused"
    if outcome == "accepted":
        kind.check(file, read)
    if kind.calls.get(file) and rng.random() < kind.share:
        _play_command(kind, rng.choice(kind.calls[file]), file, outcome)
    return outcome


def _play_command(kind: Kind, call: str, file: str, outcome: str) -> None:
    """A command ends well, or in the line of a refusal, which it has to if the readers refuse."""
    with limited():
        status, line = command(call)
    if status:
        # A file that is whole may lack what one command needs; the line is about that then.
        _require_line(line, file if outcome == "refused" else "", kind.leads_to)
        return
    lenient = call.split()[0] in kind.lenient
    assert outcome == "accepted" or lenient, f"`{call}` ended well"
    kind.compare(call)


def fuzz(kind: Kind, seeds: range, good: Good) -> Outcomes:
    """Play a round of each seed.

    Args:
        kind: of the files.
        seeds: of the mutants.
        good: the files below the current folder.
    """
    for call in dict.fromkeys(call for calls in kind.calls.values() for call in calls):
        status, line = command(call)  # which also imports what else would count for a mutant
        assert status == 0, f"`{call}` on the good files: {line}"
        kind.compare(call)
        good.restore()

    def turn(seed: int) -> str:
        try:
            return play(kind, seed, good)
        finally:
            good.restore()

    return collect(kind.name, seeds, turn, len(seeds))


def collect(
    name: str, seeds: Iterable[int], turn: Callable[[int], str | None], number: int
) -> Outcomes:
    """What becomes of as many mutants.

    Args:
        name: of their kind.
        seeds: of the mutants, and more where some make none.
        turn: makes and reads a mutant; None where there is none.
        number: of mutants.
    """
    outcomes, start = Outcomes(), _cpu()
    for seed in seeds:
        if outcomes.mutants == number:
            break
        try:
            outcome = turn(seed)
        except (Exception, TooLong) as error:
            outcomes.violations.append(f"{name} {seed}: {type(error).__name__} {error}"[:600])
        else:
            outcomes.counts.update([outcome] if outcome else [])
    outcomes.seconds = _cpu() - start
    return outcomes


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
