"""The command line: `alpharl VERB`. It finds the verb, and ends in order."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from alpharl import __version__
from alpharl.checkpoints.open_files import allow_many
from alpharl.errors import AlpharlError, ArtefactError, nearest
from alpharl.study.aside import set_aside
from alpharl.verbs import GROUPS, RENAMED, VERBS, module_of, summary_of
from alpharl.verbs.parser import parse, parser_of
from alpharl.verbs.result import show

PURPOSE = "Predict where RL training of language models is going, and whether to trust it."
WELCOME = f"""{PURPOSE}

Five commands to begin with:
  alpharl init FOLDER       write a study file for the checkpoints in a folder
  alpharl check STUDY       see what the study would make, and what it would cost
  alpharl status STUDY      see how far it is, and what failed
  alpharl trust ...         ask whether a forecast of a run is supported, from its checkpoints alone
  alpharl forecast ...      forecast a later model from early checkpoints

'alpharl --help' lists all verbs, 'alpharl VERB --help' explains one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        The exit status: 0; 1 with one line on standard error where something is wrong with the
        input; 2 where the command line is; or the verb's own.
    """
    first, *arguments = (sys.argv[1:] if argv is None else argv) or [""]
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
    return _run(first, arguments)


def _run(verb: str, arguments: list[str]) -> int:
    module = module_of(verb)
    values: dict[str, Any] = parse(parser_of(verb, module), arguments)
    allow_many()
    kind, as_json = values.pop("result", None), values.pop("json", False)
    try:
        with _ending_in_order():
            result = module.run(**values)
    except ArtefactError as error:
        return _refuse(str(error) + (set_aside(error.path) if error.path else ""), 1, verb)
    except AlpharlError as error:
        return _refuse(str(error), 1, verb)
    except KeyboardInterrupt:
        print(f"alpharl {verb}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    if kind is None:
        return 0
    return _printed(lambda: show(result, as_json), f"alpharl {verb}") or int(result.exit_status)


def _printed(write: Callable[[], None], command: str) -> int:
    """Write to standard output: 0, or 1 if that cannot be written to."""
    try:
        write()
    except BrokenPipeError:
        # Whoever read has seen enough, as `head` does. What is left must not be flushed at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"{command}: error: cannot write to standard output: {error}", file=sys.stderr)
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
    return "\n".join(lines)


def _refuse(message: str, status: int, verb: str = "") -> int:
    """Print the one line of an error; names from files may hold what would break or move it."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    print(f"alpharl{f' {verb}' if verb else ''}: error: {line}", file=sys.stderr)
    return status


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """When a scheduler stops the job, end as if interrupted: without temporary files."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    raise SystemExit(main())
