"""The command line: `alpharl VERB`. It finds the verb, and ends in order.

Little is imported here, so that an interrupt also ends in order while the rest is.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from alpharl import __version__
from alpharl.checkpoints.open_files import allow_many
from alpharl.errors import ArtefactError, nearest
from alpharl.failures import line_of
from alpharl.study.aside import set_aside
from alpharl.verbs import GROUPS, RENAMED, VERBS, module_of, summary_of

DEBUG = "--debug"
ENDING = [signal.SIGTERM, signal.SIGHUP]
"""What schedulers and terminals end a command with."""
_LATER_S = 0.05
"""So long a signal waits that comes while a module is imported."""
CLOSED = "found standard output closed, expected it open; to see no results, send it to /dev/null"
PURPOSE = "Predict where RL training of language models is going, and whether to trust it."
WELCOME = f"""{PURPOSE}

Five commands to begin with:
  alpharl init FOLDER       write a study file for the checkpoints in a folder
  alpharl check STUDY       see what the study would make, and what it would cost
  alpharl status STUDY      see how far it is, and what failed
  alpharl trust ...         ask whether a forecast of a run is supported, from its checkpoints alone
  alpharl forecast ...      forecast a later model from early checkpoints

'alpharl --help' lists all verbs, 'alpharl VERB --help' explains one."""


class Stopped(BaseException):
    """A signal to end came; not an `Exception`, so that nobody takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        The exit status: 0; 1 with one line on standard error where something is wrong with the
        input or the machine; 2 where the command line is; 128 and the signal's number where one
        ended it; or the verb's own.
    """
    arguments = [*(sys.argv[1:] if argv is None else argv)]
    debug = DEBUG in arguments[: arguments.index("--") if "--" in arguments else None]
    while arguments[:1] == [DEBUG]:
        del arguments[0]
    first, *arguments = arguments or [""]
    command = f"alpharl {first}" if first in VERBS else "alpharl"
    _open_streams()
    try:
        with _ending_in_order():
            return _start(first, arguments)
    # Also what nobody foresaw: whoever meets it learns what to do, in a line.
    except (Exception, KeyboardInterrupt, Stopped) as error:
        if debug:
            _show_traceback(error)
        return _end(command, error)


def _start(first: str, arguments: list[str]) -> int:
    texts = {
        "": _welcome, "-h": _help, "--help": _help, "help": _help,
        "-V": _version, "--version": _version,
    }  # fmt: skip
    if first in texts:
        return _printed(lambda: print(texts[first](), flush=True), "alpharl")
    if first in RENAMED:
        return _refuse(f"verb '{first}' is now '{RENAMED[first]}'; use that", 1)
    if first not in VERBS:
        return _refuse(f"found no verb '{first}', {nearest(first, VERBS)}; see 'alpharl --help'", 2)
    if _is_nowhere():
        return _refuse("found that the current folder is gone; change to one that is there", 1)
    return _run(first, arguments)


def _is_nowhere() -> bool:
    """Whether the current folder is gone: libraries end the process where they look for it."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _run(verb: str, arguments: list[str]) -> int:
    from alpharl.verbs.parser import parse, parser_of
    from alpharl.verbs.places import require_places
    from alpharl.verbs.result import show

    module, command = module_of(verb), f"alpharl {verb}"
    parser = parser_of(verb, module)
    try:
        values: dict[str, Any] = parse(parser, arguments)
    except SystemExit:  # the parser's, after help or an error
        if status := _printed(_flush, command):
            return status
        raise
    allow_many()
    kind, as_json = values.pop("result", None), values.pop("json", False)
    if kind is not None and sys.stdout is None:
        return _refuse(CLOSED, 1, command)
    require_places(parser, values)
    result = module.run(**values)
    if kind is None:
        return _printed(_flush, command)
    return _printed(lambda: show(result, as_json), command) or int(result.exit_status)


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _printed(write: Callable[[], None], command: str) -> int:
    """Write to standard output: 0, or 1 if that cannot be written to."""
    try:
        write()
    except BrokenPipeError:
        # Whoever read has seen enough, as `head` does. What is left must not be flushed at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _say(f"{command}: error: cannot write to standard output: {error}")
        return 1
    return 0


def _welcome() -> str:
    return WELCOME


def _version() -> str:
    return f"alpharl {__version__}"


def _help() -> str:
    """All verbs in groups, a line each."""
    lines = [PURPOSE, "", "usage: alpharl VERB ...    (alpharl VERB --help explains a verb)"]
    for group, verbs in GROUPS.items():
        lines += ["", f"{group}:", *(f"  {verb:<12} {summary_of(verb)}" for verb in verbs)]
    lines += ["", f"'alpharl {DEBUG} VERB ...' shows where in the code an error comes from."]
    return "\n".join(lines)


def _end(command: str, error: BaseException) -> int:
    """Say in one line why a command ended before its time; its exit status."""
    if isinstance(error, KeyboardInterrupt):
        _say(f"{command}: interrupted")
        return 128 + signal.SIGINT
    if isinstance(error, Stopped):
        _say(f"{command}: stopped by {signal.Signals(error.number).name}")
        return 128 + error.number
    damaged = error.path if isinstance(error, ArtefactError) else None
    return _refuse(line_of(error) + (set_aside(damaged) if damaged else ""), 1, command)


def _show_traceback(error: BaseException) -> None:
    error.__suppress_context__ = False  # what a line was made of is of interest too
    _say("".join(traceback.format_exception(error)).rstrip())


def _refuse(message: str, status: int, command: str = "alpharl") -> int:
    """Print the one line of an error; names from files may hold what would break or move it."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    _say(f"{command}: error: {line}")
    return status


def _say(text: str) -> None:
    """Print to standard error, if anybody reads it: the exit status says the same."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)


def _open_streams() -> None:
    """Let no file take the place of a closed stream, and let standard output take all names."""
    for stream in range(3):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """When a scheduler stops the job, end as if interrupted: without temporary files."""

    def end(number: int, frame: FrameType | None) -> None:
        if _is_importing(frame):
            again = threading.Timer(_LATER_S, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        raise KeyboardInterrupt if number == signal.SIGINT else Stopped(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What is ignored, as under `nohup`, stays so.
    caught = [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        caught.append(signal.SIGINT)
    before = {number: signal.signal(number, end) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported: torch's C++ code aborts at an exception in its midst."""
    while frame is not None and frame.f_code is not main.__code__:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


if __name__ == "__main__":
    raise SystemExit(main())
