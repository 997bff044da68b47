"""`alpharl VERB`: one verb per rule of the workflow; nothing else computes.

Parsing is in `alpharl.arguments`, the work in `alpharl.verbs`, which imports heavy libraries only
inside the verb that needs them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from alpharl.arguments import parser
from alpharl.errors import AlpharlError
from alpharl.gpu import allot, require_visible
from alpharl.progress import Lines
from alpharl.verbs import run_verb

RENAMED = {"geometry": "measure sparsity", "floor": "measure floor"}
"""Verbs of version 0.1, with what they are called now."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit status: 0, or 1 with one line on standard error."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments and arguments[0] in RENAMED:
        print(
            f"alpharl: error: verb '{arguments[0]}' is now '{RENAMED[arguments[0]]}'; use that",
            file=sys.stderr,
        )
        return 1
    args = parser(__doc__.split("\n")[0]).parse_args(arguments)
    try:
        with _ending_in_order(), allot(args.gpus, Lines()):
            require_visible(args.gpus)
            run_verb(args)
            sys.stdout.flush()
    except AlpharlError as error:
        print(f"alpharl {args.verb}: error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read has seen enough, as `head` does. What is left must not be flushed at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


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
