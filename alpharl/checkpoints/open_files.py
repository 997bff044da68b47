"""Files that stay open for the next read, at most as many as the system allows. Torch-free.

A pass over a run reads all its checkpoints side by side, and a process may hold 1024 files.
"""

from __future__ import annotations

import os
import resource
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_SHARE = 0.5
"""Of the files that a process may hold open: libraries need some too."""


def allow_many() -> None:
    """Let this process hold as many files open as its user may allow it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@dataclass
class _Open:
    descriptor: int
    users: int = 0


class OpenFiles:
    """Descriptors for reading, one for each file and thread, which reads ahead on its own."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[int, Path], _Open] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def descriptor(self, path: Path) -> Iterator[int]:
        """A file's descriptor; those that were not used for longest make room for it.

        Raises:
            OSError: the file cannot be opened.
        """
        key = threading.get_ident(), path
        with self._lock:
            file = self._open.get(key) or self._open.setdefault(key, _opened(path))
            self._open.move_to_end(key)
            file.users += 1
            self._make_room()
        try:
            yield file.descriptor
        finally:
            file.users -= 1

    def close(self, folder: Path) -> None:
        """Close the files of a folder that nobody reads."""
        with self._lock:
            for key in [key for key, file in self._open.items() if key[1].parent == folder]:
                self._close_unused(key)

    def _make_room(self) -> None:
        # Asked at every read of a few hundred kilobytes, so it has to cost nothing.
        if len(self._open) > self._most:
            for key in [*self._open][: len(self._open) - self._most]:
                self._close_unused(key)

    @cached_property
    def _most(self) -> int:
        return max(1, int(_SHARE * resource.getrlimit(resource.RLIMIT_NOFILE)[0]))

    def _close_unused(self, key: tuple[int, Path]) -> None:
        if not self._open[key].users:
            os.close(self._open.pop(key).descriptor)


def _opened(path: Path) -> _Open:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    return _Open(descriptor)
