"""Files and folders that are in place whole or not at all. Torch-free.

What is being written has a name of its own next to its place, is locked by its writer, and moves
into place once it is whole. So two writers of one place do not meet: what the later one wrote
stands, and files that are written together are all one writer's. What a writer neither puts in
place nor discards goes at the latest when its process ends. What a killed writer left, whose lock
ended with it, goes when the next one comes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from weakref import finalize

_END = ".partial"
_TOKEN = 8
"""Length of what tells the writers of one place apart."""


class Partial:
    """A file, or a folder, that is being written."""

    def __init__(self, place: Path, *, folder: bool = False, mode: int = 0o644) -> None:
        """Make it, empty.

        Args:
            place: where it belongs; what stands there stays until `commit`.
            folder: whether it is a folder.
            mode: access mode of a file.
        """
        self._place, self._mode, self._folder = place, mode, folder
        place.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(place)
        # Of a folder too it is a file: folders cannot be locked everywhere.
        self._claim, lock = _claimed(place)
        # Also where the rest fails, here or in the constructor of an object that this is part of.
        self._discard = finalize(self, _let_go, self._claim, lock, os.getpid())
        self.path = _folder(self._claim) / place.name if folder else self._claim
        """Where to write it."""
        if folder:
            self.path.mkdir(parents=True)

    def commit(self) -> None:
        """Put it in place of what stands there."""
        if self._folder:
            for file in filter(Path.is_file, self.path.rglob("*")):
                _sync(file)
            _exchange(self.path, self._place, _folder(self._claim) / "before")
        else:
            self.path.chmod(self._mode)
            _sync(self.path)
            self.path.replace(self._place)
        self.discard()

    def discard(self) -> None:
        """Remove what was not put in place; nothing happens the second time."""
        self._discard()


@contextmanager
def partial_files(places: Sequence[Path], mode: int = 0o644) -> Iterator[list[Path]]:
    """Files that are put in place together, once all of them are written; after an error, none."""
    with ExitStack() as discarding:
        partials = list[Partial]()
        for place in places:
            partials.append(Partial(place, mode=mode))
            discarding.callback(partials[-1].discard)
        yield [partial.path for partial in partials]
        with _turn(places[0]) if len(places) > 1 else nullcontext():
            for partial in partials:
                partial.commit()


@contextmanager
def _turn(place: Path) -> Iterator[None]:
    """Wait until no other writer puts files in place together of which this is the first."""
    claim = place.with_name(f".{place.name}.turn{_END}")
    while True:
        lock = os.open(claim, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with suppress(OSError):  # a file system without locks: writers may meet
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Whoever had its turn before has removed the file.
        if os.fstat(lock).st_nlink:
            break
        os.close(lock)
    try:
        yield
    finally:
        claim.unlink(missing_ok=True)
        os.close(lock)


@contextmanager
def partial_folder(place: Path) -> Iterator[Path]:
    """A folder that is put in place once it is written; after an error, it is not."""
    partial = Partial(place, folder=True)
    try:
        yield partial.path
        partial.commit()
    finally:
        partial.discard()


def _claimed(place: Path) -> tuple[Path, int]:
    """A new name for what is being written, and a descriptor that holds the file locked."""
    while True:
        claim = place.with_name(f".{place.name}.{secrets.token_hex(_TOKEN // 2)}{_END}")
        # Readable by its owner alone until it is whole.
        lock = os.open(claim, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with suppress(OSError):  # a file system without locks: nothing is ever taken for left
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Another process may have taken it for left before it was locked.
        if claim.exists():
            return claim, lock
        os.close(lock)


def _let_go(claim: Path, lock: int, process: int) -> None:
    if os.getpid() == process:  # no fork of it
        # What cannot be removed now, the next writer removes; nobody is left to be told of it.
        with suppress(OSError):
            _remove(claim)
        os.close(lock)


def _remove_left(place: Path) -> None:
    """Remove what writers of a place have left who are no more."""
    start = f".{place.name}."
    with os.scandir(place.parent) as entries:
        names = [e.name for e in entries if e.name.startswith(start) and e.name.endswith(_END)]
    for name in names:
        if len(name) == len(start) + _TOKEN + len(_END):
            _remove_if_left(place.with_name(name))


def _remove_if_left(claim: Path) -> None:
    try:
        lock = os.open(claim, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # gone meanwhile, another user's, or no file
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(claim)
    except OSError:  # its writer lives, or there is no telling
        pass
    finally:
        os.close(lock)


def _remove(claim: Path) -> None:
    """The file last, without which a folder would be nobody's."""
    shutil.rmtree(_folder(claim), ignore_errors=True)
    claim.unlink(missing_ok=True)


def _folder(claim: Path) -> Path:
    return claim.with_name(f"{claim.name}.d")


def _exchange(new: Path, place: Path, before: Path) -> None:
    """Put a folder in place of another, which goes to `before`."""
    while True:
        with suppress(FileNotFoundError):
            place.replace(before)
        try:
            new.replace(place)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            # Another writer's came in between, and goes too.
            shutil.rmtree(before, ignore_errors=True)
        else:
            return


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
