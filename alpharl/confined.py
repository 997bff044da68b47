"""Other people's programs in a process of its own, within limits that the kernel keeps.

A chat template, or a function of a task file, may loop or fill the memory, also inside C code,
where no signal handler of Python's runs. The process is a fork, so that it has everything that the
caller has loaded. It answers requests one by one, and ends with the caller.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

from alpharl import locks

PATIENCE = 3
"""Seconds on the clock for each second of processor time: some programs only sleep."""
_MESSAGE = 1000
"""Characters that are kept of what an error says."""
_CHUNK = 1 << 20


class Failed(Exception):
    """The program raised an error: its kind, and what it says."""


class Overrun(Exception):
    """The program passed a limit, and its process is gone; says which, as in `takes more ...`."""


class Confined:
    """A fork of this process that runs one function, request by request."""

    def __init__(self, serve: Callable[[Any], Any], gib: float) -> None:
        """Start it.

        Args:
            serve: takes and returns what JSON can hold.
            gib: memory that it may take on top of what this process has.
        """
        self._gib, self._lock = gib, threading.Lock()
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # else the fork has what is not written yet, too
        with warnings.catch_warnings():
            # Python warns of locks that other threads may hold; a wait for one ends at the limit.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if not self._pid:
            unused = self._requests, self._replies
            _run(serve, requests, replies, unused, int(gib * 2**30))
        os.close(requests)
        os.close(replies)
        self._owner, self.alive = os.getpid(), True
        ends = (self._pid, self._requests, self._replies)
        self._end = weakref.finalize(self, _end, self._owner, *ends)

    def ask(self, request: Any, seconds: float) -> Any:
        """The function's value.

        Args:
            request: its argument.
            seconds: of processor time that it may take.

        Raises:
            Failed: it raised an error.
            Overrun: it took too much time or memory.
        """
        with self._lock:
            try:
                line = json.dumps([seconds, request]).encode() + b"\n"
                with contextlib.suppress(BrokenPipeError):
                    _write(self._requests, line)
                reply = self._read(time.monotonic() + PATIENCE * seconds, seconds)
            except BaseException:
                # Interrupted: the reply to come would be taken for the next one's.
                self.close()
                raise
        if "error" in reply:
            raise Failed(*reply["error"])
        return reply["value"]

    def close(self) -> None:
        """End it."""
        self.alive = False
        self._end()

    @property
    def is_mine(self) -> bool:
        """Whether it can be asked: it lives, and this process started it."""
        return self.alive and self._owner == os.getpid()

    def _read(self, until: float, seconds: float) -> dict[str, Any]:
        """The line of a reply."""
        data, replies = bytearray(), select.poll()  # `select.select` knows numbers below 1024 alone
        replies.register(self._replies, select.POLLIN)
        while not data.endswith(b"\n"):
            left = until - time.monotonic()
            if left < 0 or not replies.poll(1000 * left):
                raise Overrun(_too_long(seconds))
            part = os.read(self._replies, _CHUNK)
            if not part:
                raise Overrun(self._death(seconds))
            data += part
        reply: dict[str, Any] = json.loads(data)
        return reply

    def _death(self, seconds: float) -> str:
        """How it ended, in words."""
        # Not yet collected, so that its number still is no other process's.
        ended = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        if ended and ended.si_status == signal.SIGPROF and ended.si_code != os.CLD_EXITED:
            return _too_long(seconds)
        return f"takes more than {self._gib:g} GiB of memory, or ends its process"


def _too_long(seconds: float) -> str:
    return f"takes more than {seconds:.0f} seconds"


def _run(
    serve: Callable[[Any], Any], requests: int, replies: int, unused: tuple[int, int], memory: int
) -> NoReturn:
    """The fork's life. It never returns into what the caller was doing."""
    try:
        for pipe in unused:  # else it would never see the end of its requests
            os.close(pipe)
        locks.let_go()
        _limit(memory)
        with os.fdopen(requests, "rb") as lines:
            for line in lines:
                _write(replies, _reply(serve, line))
    finally:
        os._exit(0)


def _limit(memory: int) -> None:
    for number in (signal.SIGTERM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)  # handlers would end the caller's work in order
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller gets it too, and closes the pipe
    gc.freeze()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with open("/proc/self/statm") as sizes:
        taken = int(sizes.read().split()[0]) * resource.getpagesize()
    _, highest = resource.getrlimit(resource.RLIMIT_AS)
    bound = taken + memory if highest == resource.RLIM_INFINITY else min(taken + memory, highest)
    resource.setrlimit(resource.RLIMIT_AS, (bound, highest))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _reply(serve: Callable[[Any], Any], line: bytes) -> bytes:
    seconds, request = json.loads(line)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        reply = json.dumps({"value": serve(request)})
    except Exception as error:  # of any kind: it is not our program
        reply = json.dumps({"error": [type(error).__name__, str(error)[:_MESSAGE]]})
    signal.setitimer(signal.ITIMER_PROF, 0)
    return reply.encode() + b"\n"


def _write(number: int, data: bytes) -> None:
    while data:
        data = data[os.write(number, data) :]


def _end(owner: int, pid: int, *pipes: int) -> None:
    if os.getpid() != owner:  # a fork of the caller
        return
    for pipe in pipes:
        os.close(pipe)
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
