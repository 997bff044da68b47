"""Turns what the system and libraries raise into the one line that a user reads. Torch-free.

Libraries are known by the modules of their errors' types, so that none is imported for it.
"""

from __future__ import annotations

import errno
import json
import re
import traceback
from typing import Any

from alpharl.errors import AlpharlError
from alpharl.failed_file import file_of, quoted_file
from alpharl.system_errors import (
    OF_MACHINE,
    OF_WRITING,
    chain_of,
    first_words,
    memory_words,
    number_of,
    one_line,
    words_of,
)

LONGEST = 600
"""Characters of a library's message that are shown."""
MOST = 2000
"""Characters of an error's line."""
AGAIN = "run it again with --debug and report what it shows"

_TORCH_FILE = re.compile(r"inline_container|PytorchStreamWriter|iostream error")
_LIBRARY = re.compile(r"/(?:site|dist)-packages/(\w+)")


def pass_on(error: Exception, writes: str | None = None) -> None:
    """Raise an error again if the machine is to blame, not what a file holds: disk, memory, limits.

    Call it first wherever errors of all kinds are taken for a fault of a file.

    Args:
        error: what was caught.
        writes: where a library writes that reads the file, if it does.
    """
    for part in chain_of(error):
        if memory_words(part) or number_of(part) in OF_MACHINE:
            if writes and number_of(part) in OF_WRITING:
                part.filename = writes  # type: ignore[attr-defined]
            raise error


def is_foreseen(error: BaseException) -> bool:
    """Whether an error is of a known kind, so that its line says all there is to know."""
    words = first_words(memory_words, error) or first_words(_foreseen, error)
    return isinstance(error, AlpharlError) or words is not None


def line_of(error: BaseException, again: str = AGAIN) -> str:
    """The one line that says what went wrong, in which file, what was expected and what to do.

    Args:
        error: of any kind. One that nobody foresaw, a fault of this program, says so.
        again: how to learn more of such a one.
    """
    if isinstance(error, AlpharlError):
        return _shortened(one_line(str(error)))
    if words := first_words(memory_words, error):
        return one_line(words)
    words, file = first_words(_foreseen, error) or _unforeseen(error, again), file_of(error)
    return one_line(f"{file}: {words}" if file else words)


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
    words = one_line(str(error))
    words = words if len(words) <= LONGEST else f"{words[:LONGEST]}..."
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _shortened(line: str) -> str:
    """A line with names and values of any length, without its middle if nobody would read it."""
    return line if len(line) <= MOST else f"{line[: MOST // 2]} ... {line[-MOST // 2 :]}"


def _foreseen(error: BaseException) -> str | None:
    """Words for an error of a known kind: what is wrong and what to do."""
    module = type(error).__module__.partition(".")[0]
    return _system(error) or _decoding(error) or _of_library(error, module)


def _system(error: BaseException) -> str | None:
    """Words for a call to the system that failed, also in a library that quotes its number."""
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return words_of(errno.EAGAIN)
    if isinstance(error, RuntimeError) and _TORCH_FILE.search(str(error)):
        return (
            f"cannot be read or written whole ({one_line(str(error))[:120]}); look at the free "
            "space of its disk, and run it again"
        )
    number = number_of(error)
    if number:
        return words_of(number)
    if isinstance(error, FileNotFoundError):
        return _not_opened(error)
    return None


def _not_opened(error: FileNotFoundError) -> str:
    """Words for a library's error that knows one reason why files do not open."""
    file = quoted_file(error)
    if file is None or not file.exists():
        return words_of(errno.ENOENT)
    return (
        "found a file that cannot be opened, expected one that can; look at its mode (`ls -l`) and "
        "at the limit on open files (`ulimit -n`)"
    )


def _decoding(error: BaseException) -> str | None:
    """Words for bytes or characters that are not what they should be; None for other errors."""
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
            f"found an error of the GPU ({one_line(str(error))[:200]}), expected one that works; "
            "check nvidia-smi, then run it again"
        )
    return None


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] == "alpharl"


def _validation(error: Any) -> str:
    # Where such an error exists, pydantic is loaded.
    from alpharl.frozen import describe_error

    return "; ".join(map(describe_error, error.errors()[:3]))
