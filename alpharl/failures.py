"""Turns what the system and libraries raise into the one line that a user reads. Torch-free.

Libraries are known by the modules of their errors' types, so that none is imported for it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from alpharl.errors import AlpharlError

T = TypeVar("T")
PACKAGE = str(Path(__file__).parent)
LONGEST = 600
"""Characters of a library's message that are shown."""
AGAIN = "run it again with --debug and report what it shows"

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
_TORCH_FILE = re.compile(r"inline_container|PytorchStreamWriter|iostream error")
_TORCH_WRITES = re.compile(r"unexpected pos|PytorchStreamWriter")
_LIBRARY = re.compile(r"/(?:site|dist)-packages/(\w+)")
_PARTIAL = re.compile(r"\.(.+?)(\.[0-9a-f]{8})?\.partial(\.d)?")
"""Names of what is being written; the second group tells its writers apart, the third folders."""


_OF_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
_OF_MACHINE = _OF_WRITING | {
    errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM,
    errno.ENOMEM,
}  # fmt: skip
_WRITTEN = {"out", "path", "partial", "record", "target", "place", "folder"}
"""What functions call what they write."""


def pass_on(error: Exception, writes: str | None = None) -> None:
    """Raise an error again if the machine is to blame, not what a file holds: disk, memory, limits.

    Call it first wherever errors of all kinds are taken for a fault of a file.

    Args:
        error: what was caught.
        writes: where a library writes that reads the file, if it does.
    """
    for part in _chain(error):
        if _memory(part) or _number(part) in _OF_MACHINE:
            if writes and _number(part) in _OF_WRITING:
                part.filename = writes  # type: ignore[attr-defined]
            raise error


def is_foreseen(error: BaseException) -> bool:
    """Whether an error is of a known kind, so that its line says all there is to know."""
    words = _first(_memory, error) or _first(_foreseen, error)
    return isinstance(error, AlpharlError) or words is not None


def line_of(error: BaseException, again: str = AGAIN) -> str:
    """The one line that says what went wrong, in which file, what was expected and what to do.

    Args:
        error: of any kind. One that nobody foresaw, a fault of this program, says so.
        again: how to learn more of such a one.
    """
    if isinstance(error, AlpharlError):
        return _one_line(str(error))
    if words := _first(_memory, error):
        return _one_line(words)
    words, file = _first(_foreseen, error) or _unforeseen(error, again), file_of(error)
    return _one_line(f"{file}: {words}" if file else words)


def _first(says: Callable[[BaseException], T | None], error: BaseException) -> T | None:
    return next(filter(None, map(says, _chain(error))), None)


def _unforeseen(error: BaseException, again: str) -> str:
    """Words for an error that nobody foresaw: whose it is, and how to learn more."""
    *_, (innermost, _) = [(None, 0), *traceback.walk_tb(error.__traceback__)]
    library = _LIBRARY.search(innermost.f_code.co_filename) if innermost else None
    if library:
        return (
            f"found what {library[1]} cannot use ({_named(error)}), expected what it can; correct "
            f"it. If it is right, {again}"
        )
    return f"found {_named(error)}, a fault of this program; {again}"


def _named(error: BaseException) -> str:
    """Type and message of an error, the message shortened."""
    words = _one_line(str(error))
    words = words if len(words) <= LONGEST else f"{words[:LONGEST]}..."
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it was raised from, the innermost of which is the system's."""
    following: BaseException | None = error
    while following is not None:
        yield following
        implicit = None if following.__suppress_context__ else following.__context__
        following = following.__cause__ or implicit


def _foreseen(error: BaseException) -> str | None:
    """Words for an error of a known kind: what is wrong and what to do."""
    module = type(error).__module__.partition(".")[0]
    return _system(error) or _decoding(error) or _of_library(error, module)


def _memory(error: BaseException) -> str | None:
    words = _one_line(str(error))[:200]
    if _OUT_OF_GPU_MEMORY.search(words):
        return _GPU_MEMORY.format(words=words)
    full = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
    if full or (isinstance(error, RuntimeError | OSError | ImportError) and _is_memory(words)):
        return _MEMORY.format(words=words or type(error).__name__)
    return None


def _is_memory(words: str) -> bool:
    return bool(_OUT_OF_MEMORY.search(words))


def _system(error: BaseException) -> str | None:
    """Words for a call to the system that failed, also in a library that quotes its number."""
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return _words_of(errno.EAGAIN)
    if isinstance(error, RuntimeError) and _TORCH_FILE.search(str(error)):
        return (
            f"cannot be read or written whole ({_one_line(str(error))[:120]}); look at the free "
            "space of its disk, and run it again"
        )
    number = _number(error)
    if number:
        return _words_of(number)
    if isinstance(error, FileNotFoundError):
        return _not_opened(error)
    return None


def _number(error: BaseException) -> int | None:
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (match := _OS_ERROR.search(str(error))):
        number = int(match[1] or match[2])
    return number


def _words_of(number: int) -> str:
    words = _SYSTEM.get(_SAME.get(number, number))
    if words is None:
        words = f"found the error '{os.strerror(number)}' of the system, expected none; correct it"
    limits = {"files": resource.RLIMIT_NOFILE, "processes": resource.RLIMIT_NPROC}
    return words.format(**{name: resource.getrlimit(which)[0] for name, which in limits.items()})


def _not_opened(error: FileNotFoundError) -> str:
    """Words for a library's error that knows one reason why files do not open."""
    file = _quoted_file(error)
    if file is None or not file.exists():
        return _words_of(errno.ENOENT)
    return (
        "found a file that cannot be opened, expected one that can; look at its mode (`ls -l`) and "
        "at the limit on open files (`ulimit -n`)"
    )


def _decoding(error: BaseException) -> str | None:
    """Of bytes that are not what they should be."""
    if isinstance(error, UnicodeDecodeError):
        return f"found byte {error.start} to be no {error.encoding}, expected text; save it again"
    if isinstance(error, UnicodeEncodeError):
        text = ascii(error.object[error.start : error.end])
        return f"found {text}, which {error.encoding} cannot write; use other characters"
    if isinstance(error, json.JSONDecodeError):
        where = f"line {error.lineno}, column {error.colno}"
        return f"found no valid JSON ({error.msg}, {where}); correct it or make it again"
    if isinstance(error, ValueError) and str(error) == "embedded null byte":
        return "found a path with a null byte in it, expected one without; correct it"
    return None


_KINDS = {
    "yaml": "found no valid YAML ({words}); correct it",
    "pyarrow": "found no Parquet that can be read ({words}); make it again",
    "safetensors": "found no safetensors that can be read ({words}); make it again",
    "jinja2": "found a template that fails ({words}), expected one that makes a prompt; correct it",
    "huggingface_hub": "found no answer of the Hub that can be used ({words}); check the name and "
    "the network, then run it again",
    "httpx": "found no answer from the network ({words}); run it again where there is one",
    "requests": "found no answer from the network ({words}); run it again where there is one",
    "zlib": "found damaged data ({words}); make it again",
    "zipfile": "found a damaged archive ({words}); make it again",
    "tokenizers": "found a tokenizer that cannot be read ({words}); copy it again",
    "subprocess": "found a program that failed ({words}), expected it to end well; run it by hand",
}  # fmt: skip
"""What errors of a library mean, by its name."""
_ALIASES = {"urllib3": "requests", "httpcore": "httpx", "httpx2": "httpx", "_yaml": "yaml"}


def _of_library(error: BaseException, module: str) -> str | None:
    if module == "pydantic_core":
        return f"found other values than expected: {_validation(error)}; correct them"
    if isinstance(error, ModuleNotFoundError) and error.name and not _is_ours(error.name):
        return f"found no Python package '{error.name}', expected it to be installed; install it"
    if isinstance(error, RecursionError):
        return "found values that nest too deeply, expected a few levels; correct them"
    words = _KINDS.get(_ALIASES.get(module, module))
    if words:
        return words.format(words=_named(error))
    if isinstance(error, RuntimeError) and str(error).startswith("CUDA error"):
        return (
            f"found an error of the GPU ({_one_line(str(error))[:200]}), expected one that works; "
            "check nvidia-smi, then run it again"
        )
    return None


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] == "alpharl"


def _validation(error: Any) -> str:
    # Where such an error exists, pydantic is loaded.
    from alpharl.frozen import describe_error

    return "; ".join(map(describe_error, error.errors()[:3]))


def file_of(error: BaseException) -> str | None:
    """The file that an error is about, as a user knows it; None if that cannot be told.

    Writers of single bytes and readers of text do not name it. It is then what the innermost
    function of this package that works on a file was called with.
    """
    for part in _chain(error):
        names = [getattr(part, name, None) for name in ("filename2", "filename")]
        for name in names:
            if isinstance(name, str | bytes | os.PathLike):
                return _shown(Path(os.fsdecode(name)))
        if isinstance(part, FileNotFoundError) and (file := _quoted_file(part)):
            return _shown(file)
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return None
    arguments = [argument for frame in _frames(error) for argument in _paths(frame)]
    if _first(_writing, error):
        arguments.sort(key=lambda argument: argument[0].lstrip("_") not in _WRITTEN)
    return next((_shown(path) for _, path in arguments), None)


def _writing(error: BaseException) -> bool:
    by_torch = isinstance(error, RuntimeError) and _TORCH_WRITES.search(str(error))
    return bool(by_torch) or _number(error) in _OF_WRITING


def _quoted_file(error: FileNotFoundError) -> Path | None:
    """The file that a library's error quotes at the end of its words."""
    name = str(error).rpartition(": ")[2].strip("'\"")
    return Path(name) if name else None


def _shown(path: Path) -> str:
    """A file by its place, where it is not there yet."""
    for parent in (path, *path.parents):
        match = _PARTIAL.fullmatch(parent.name)
        if match and match[3] and parent != path:
            return str(parent.parent / path.relative_to(parent))
        if match:
            return str(parent.with_name(match[1]))
    return str(path)


def _frames(error: BaseException) -> Iterator[Any]:
    """The package's frames that an error came through, the innermost first."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        code = frame.f_code
        # The function of a verb is called with all that the command is about.
        if code.co_filename.startswith(PACKAGE) and code.co_name != "run":
            yield frame


def _paths(frame: Any) -> Iterator[tuple[str, Path]]:
    """The paths that a function was called with, by name, and those of the object it belongs to."""
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    values = [(name, frame.f_locals.get(name)) for name in names]
    if values and values[0][0] == "self":
        values[:1] = getattr(values[0][1], "__dict__", {}).items()
    yield from ((name, value) for name, value in values if isinstance(value, Path))
