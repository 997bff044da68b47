"""Locks of the operating system on files: they end with their process. Torch-free.

A lock file is opened as it is: no link is followed, nothing in it is changed, and a pipe or a
folder in its place is refused, without waiting for anybody at its other end.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO
from weakref import WeakSet

from alpharl.errors import ArtefactError

_WITHOUT = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
"""What file systems without locks say, as Lustre does where it is mounted so."""

_LOOK_S = 0.05
"""Longer than a look of `is_taken`, which holds the file while it looks."""

_OPEN: WeakSet[IO[str]] = WeakSet()
"""Lock files of this process that may be open."""

_NO_FILE = {errno.ELOOP: "a link", errno.EISDIR: "a folder", errno.ENXIO: "a socket"}
"""What stands in the place of a file, by the error that opening it gives."""


def folder() -> Path:
    """Where this user's locks lie on this machine.

    Raises:
        ArtefactError: something else has its name, or others may change it.
    """
    # Clusters hand the variable on to nodes that lack the folder.
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    root = runtime if runtime and Path(runtime).is_dir() else tempfile.gettempdir()
    locks = Path(root) / f"alpharl-{os.getuid()}"
    with suppress(FileExistsError):
        locks.mkdir(mode=0o700)
    _require_own(locks)
    return locks


def _require_own(locks: Path) -> None:
    """Refuse a folder that another user has made or may change: he could plant files in it."""
    found = locks.lstat()
    shared = stat.S_IMODE(found.st_mode) & 0o077
    if not stat.S_ISDIR(found.st_mode):
        wrong = "no folder, or a link to one"
    elif found.st_uid != os.getuid():
        wrong = f"a folder of the user with number {found.st_uid}"
    elif shared:
        wrong = f"a folder that others may use (mode {stat.S_IMODE(found.st_mode):o})"
    else:
        return
    raise ArtefactError(
        f"{locks}: found {wrong}, expected a folder of yours alone (mode 700) for locks; remove "
        "it, or set TMPDIR and XDG_RUNTIME_DIR to folders that are yours"
    )


def take(path: Path) -> IO[str] | None:
    """Lock a file, which is made if it is not there; its content stays.

    Returns:
        The file: it is locked for as long as it is open, and not at all on a file system that
        has no locks. None if another process has it locked.

    Raises:
        ArtefactError: what stands there is no file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open_file(path)
    if is_refused(file):
        time.sleep(_LOOK_S)
        if is_refused(file):
            file.close()
            return None
    return file


def is_taken(path: Path) -> bool:
    """Whether a process has the file locked.

    Raises:
        ArtefactError: what stands there is no file.
    """
    try:
        with _opened(path, os.O_RDONLY, "r") as file:
            return is_refused(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def open_file(path: Path, make: bool = True) -> IO[str]:
    """Open a lock file for reading and writing.

    Args:
        path: the file.
        make: make it if it is not there.

    Raises:
        ArtefactError: what stands there is no file.
        FileNotFoundError: it is not there, and not to be made.
    """
    return _opened(path, os.O_RDWR | (os.O_CREAT if make else 0), "r+")


def _opened(path: Path, flags: int, mode: str) -> IO[str]:
    safe = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        number = os.open(path, flags | safe, 0o644)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        raise _no_file(path, _NO_FILE[error.errno]) from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise _no_file(path, "a pipe, a device or a folder")
    file = os.fdopen(number, mode)
    _OPEN.add(file)
    return file


def let_go() -> None:
    """Close all lock files, in a fork: a lock that it shared would outlive the process it is of."""
    for file in list(_OPEN):
        file.close()


def _no_file(path: Path, what: str) -> ArtefactError:
    return ArtefactError(f"{path}: found {what}, expected a file for a lock; remove it")


def is_refused(file: IO[str], kind: int = fcntl.LOCK_EX) -> bool:
    """Whether an open file cannot be locked, as another process has it locked."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in _WITHOUT:
            raise
    return False
