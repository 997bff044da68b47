"""Temporary folders: of this user alone, gone at the end, and cleared after a killed process.

Each holds a file that its process has locked, with the machine's name in it. A lock ends with its
process, so that a folder whose lock is free is what a killed process left: the next one on that
machine that needs a folder there removes it.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

from alpharl import locks
from alpharl.errors import ArtefactError

_LOCK = ".alpharl-in-use"
"""The file in each folder. A folder without it is nobody's to remove."""
_NAMES = re.compile(r"alpharl-[a-z]+-[a-z0-9_]{8}")


@contextmanager
def scratch(kind: str, inside: str | None = None) -> Iterator[Path]:
    """A new folder that only this user can look into, removed when the context ends.

    Args:
        kind: a word for its name, `alpharl-<kind>-<random>`.
        inside: the folder that it is made in; None is `$TMPDIR`, or /tmp.
    """
    where = Path(inside or tempfile.gettempdir())
    _clear(where)
    path, lock = _make(kind, where)
    with lock:
        try:
            yield path
        finally:
            _remove(path)


@cache
def lasting(kind: str) -> Path:
    """One such folder for the whole process, removed when that ends."""
    context, process = scratch(kind), os.getpid()
    path = context.__enter__()

    def end() -> None:
        if os.getpid() == process:  # no fork of it
            context.__exit__(None, None, None)

    atexit.register(end)
    return path


def _make(kind: str, where: Path) -> tuple[Path, IO[str]]:
    """A folder and its lock. One that another process just looks at is not taken."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=f"alpharl-{kind}-", dir=where))
        with suppress(FileNotFoundError):
            lock = locks.open_file(path / _LOCK)
            if not locks.is_refused(lock) and os.fstat(lock.fileno()).st_nlink:
                lock.write(os.uname().nodename)
                lock.flush()
                return path, lock
            lock.close()
            _remove(path)


@cache
def _clear(where: Path) -> None:
    """Remove what killed processes of this user left there: once for each process."""
    try:
        named = [where / name for name in os.listdir(where) if _NAMES.fullmatch(name)]
    except OSError:  # whoever makes a folder there says what is wrong, if anything is
        return
    for path in named:
        with suppress(OSError, ArtefactError):  # it is in use, or gone, or none of ours
            _remove_left(path)


def _remove_left(path: Path) -> None:
    folder = path.lstat()
    if not stat.S_ISDIR(folder.st_mode) or folder.st_uid != os.getuid():
        return
    with locks.open_file(path / _LOCK, make=False) as lock:
        # Fails where it is locked, and where the file system has no locks that could tell.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # On a disk that machines share, not all of them see each other's locks.
        if lock.read() == os.uname().nodename:
            _remove(path)


def _remove(path: Path) -> None:
    """The lock's file last, without which what a kill leaves would be nobody's."""
    with suppress(FileNotFoundError):
        for inside in path.iterdir():
            if inside.is_dir() and not inside.is_symlink():
                shutil.rmtree(inside, ignore_errors=True)
            elif inside.name != _LOCK:
                inside.unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)
