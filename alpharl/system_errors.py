"""Errors of the operating system, by their number: also those that libraries quote. Torch-free."""

from __future__ import annotations

import errno
import os
import re
import resource
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

_SYSTEM = {
    errno.ENOSPC: "found no space left on its disk, expected room for it; free some, or name "
    "another folder",
    errno.EDQUOT: "found your quota on its disk used up, expected room for it; free some, or name "
    "another folder",
    errno.EROFS: "found a file system that is mounted read-only, expected one to write to; name "
    "another folder",
    errno.EACCES: "found no permission, expected to be allowed to read and write it; look at the "
    "owner and the mode of it and of its folders (`ls -ld`)",
    errno.EMFILE: "found too many open files, expected no more than the limit of {files} (`ulimit "
    "-n`); raise it",
    errno.ENFILE: "found too many open files on this machine, expected fewer; end what opens them",
    errno.ENOENT: "found no such file or folder, expected it to be there to the end; was it moved "
    "or deleted meanwhile? Put it back, or name another",
    errno.EFBIG: "found that it grows beyond the limit on the size of files, expected room for "
    "all of it; raise the limit (`ulimit -f`)",
    errno.EISDIR: "found a folder, expected a file; name a file",
    errno.ENOTDIR: "found a file where its path needs a folder; name another path",
    errno.EEXIST: "found something there already, expected nothing; remove it or name another",
    errno.ENOTEMPTY: "found files in it, expected an empty folder; did another process write "
    "there? Run it again",
    errno.ENAMETOOLONG: "found a longer name than its file system takes, expected at most 255 "
    "bytes; shorten it",
    errno.ELOOP: "found links that lead in a circle, expected a file or a folder; correct them",
    errno.EIO: "found an input/output error of its disk, expected one that works; look at the "
    "system's log, then run it again",
    errno.ESTALE: "found a stale handle of its network file system, expected it mounted; run it "
    "again",
    errno.EPIPE: "found nobody who reads what is written, expected a reader to the end; run it "
    "again without the pipe",
    errno.EBADF: "found it closed, expected it open; run it again without closing it",
    errno.ENODEV: "found no file that can be mapped into memory, expected a regular one; name one",
    errno.EINVAL: "found a path or an operation that its file system does not know, expected "
    "plain files; name another folder",
    errno.EAGAIN: "found too many processes or threads, expected no more than the limit of "
    "{processes} (`ulimit -u`); end some, or raise it",
    errno.EXDEV: "found another file system behind it, expected the one of its folder; name "
    "another folder",
}  # fmt: skip
"""What to say of a failed call to the system, by its number, after the file."""
_SAME = {errno.EPERM: errno.EACCES, errno.ENXIO: errno.ENODEV, errno.ETIMEDOUT: errno.EIO}
_MEMORY = (
    "found too little memory ({words}), expected room for it; ask for more (mem_mb of a job), lift "
    "`ulimit -v`, or work on less at once (--shards, --batch-size)"
)
_GPU_MEMORY = (
    "found too little memory on the GPU ({words}), expected room for it; end what else computes "
    "there, lower --batch-size, or take a larger card"
)
_OUT_OF_MEMORY = re.compile(
    r"can(no|')t allocate memory|not enough memory|bad_alloc|failed to map segment|OutOfMemory",
    re.IGNORECASE,
)
_OUT_OF_GPU_MEMORY = re.compile(r"(CUDA|HIP|MPS)\b.* out of memory|CUBLAS_STATUS_ALLOC_FAILED")
_OS_ERROR = re.compile(r"os error (\d+)\)|\bErrno (\d+)\]", re.IGNORECASE)

OF_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
"""Errors of a place that cannot be written to, or not so much."""
OF_MACHINE = OF_WRITING | {
    errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM,
    errno.ENOMEM,
}  # fmt: skip
"""Errors that the machine is to blame for, not what a file holds."""


def one_line(text: str) -> str:
    """A text without line breaks."""
    return " ".join(text.split())


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it was raised from, the innermost of which is the system's."""
    following: BaseException | None = error
    while following is not None:
        yield following
        implicit = None if following.__suppress_context__ else following.__context__
        following = following.__cause__ or implicit


def first_words(says: Callable[[BaseException], T | None], error: BaseException) -> T | None:
    """The first words for an error, or for those that it was raised from; None without any."""
    return next(filter(None, map(says, chain_of(error))), None)


def memory_words(error: BaseException) -> str | None:
    """The line for a lack of memory, also of a GPU's; None if that is not the error."""
    words = one_line(str(error))[:200]
    if _OUT_OF_GPU_MEMORY.search(words):
        return _GPU_MEMORY.format(words=words)
    full = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
    if full or (isinstance(error, RuntimeError | OSError | ImportError) and _ismemory(words)):
        return _MEMORY.format(words=words or type(error).__name__)
    return None


def _ismemory(words: str) -> bool:
    return bool(_OUT_OF_MEMORY.search(words))


def number_of(error: BaseException) -> int | None:
    """The system's number of an error; None if neither it nor its text has one."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (match := _OS_ERROR.search(str(error))):
        number = int(match[1] or match[2])
    return number


def words_of(number: int) -> str:
    """What to say of a failed call to the system, after the file."""
    words = _SYSTEM.get(_SAME.get(number, number))
    if words is None:
        words = f"found the error '{os.strerror(number)}' of the system, expected none; correct it"
    limits = {"files": resource.RLIMIT_NOFILE, "processes": resource.RLIMIT_NPROC}
    return words.format(**{name: resource.getrlimit(which)[0] for name, which in limits.items()})
