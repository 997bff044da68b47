"""Locks of the operating system on files: they end with their process. Torch-free."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from pathlib import Path
from typing import IO

_WITHOUT = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
"""What file systems without locks say, as Lustre does where it is mounted so."""

_LOOK_S = 0.05
"""Longer than a look of `is_taken`, which holds the file while it looks."""


def folder() -> Path:
    """Where this user's locks lie on this machine."""
    # Clusters hand the variable on to nodes that lack the folder.
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    root = runtime if runtime and Path(runtime).is_dir() else tempfile.gettempdir()
    locks = Path(root) / f"alpharl-{os.getuid()}"
    locks.mkdir(mode=0o700, exist_ok=True)
    return locks


def take(path: Path) -> IO[str] | None:
    """Lock a file, which is made if it is not there; its content stays.

    Returns:
        The file: it is locked for as long as it is open, and not at all on a file system that
        has no locks. None if another process has it locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    if _is_refused(file, fcntl.LOCK_EX):
        time.sleep(_LOOK_S)
        if _is_refused(file, fcntl.LOCK_EX):
            file.close()
            return None
    return file


def is_taken(path: Path) -> bool:
    """Whether a process has the file locked."""
    try:
        with path.open() as file:
            return _is_refused(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _is_refused(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in _WITHOUT:
            raise
    return False
