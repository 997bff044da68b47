"""Asks math-verify in a process of its own, so that no answer can hold up or end this one."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from alpharl.errors import EvaluationError

LIMIT_S = 10.0
"""Seconds of processor time for deciding about one answer; six times that on the clock."""
_SCRIPT = Path(__file__).with_name("verify.py")


class Checker:
    """A process that compares expressions, started when first asked and again after a timeout.

    math-verify's own timeouts are an exception raised by a signal handler: Python runs it only
    between bytecodes, so they do not stop one long operation such as a tower of powers, and only in
    the main thread. Here the kernel ends the process, whatever it is doing.
    """

    def __init__(self, limit: float = LIMIT_S) -> None:
        """Start nothing yet.

        Args:
            limit: seconds of processor time for one comparison.
        """
        self.limit = limit
        self.timeouts = 0
        """Comparisons that did not end, and so count as wrong."""
        self._child: subprocess.Popen[str] | None = None
        self._owner = 0
        self._lock = threading.Lock()
        atexit.register(self.close)

    def equal(self, answer: str, target: str) -> bool:
        """Whether math-verify finds an answer equal to the target; False where it takes too long.

        Raises:
            EvaluationError: the process does not start.
        """
        with self._lock:
            child = self._running()
            question = json.dumps({"answer": answer, "target": target, "limit": self.limit})
            try:
                reply = _exchange(child, question)
            except BaseException:
                # Interrupted: the reply to come would be taken for the next answer's.
                self.close()
                raise
            if reply:
                return bool(json.loads(reply))
            self.close()
            self.timeouts += 1
            return False

    def close(self) -> None:
        """End the process, if this one started it."""
        child, self._child = self._child, None
        if child is None or self._owner != os.getpid():
            return
        child.kill()
        # Also closes the pipes.
        child.communicate()

    def _running(self) -> subprocess.Popen[str]:
        # A fork must not talk over its parent's pipe.
        if self._child is None or self._owner != os.getpid():
            self._child, self._owner = _start(), os.getpid()
        return self._child


def _start() -> subprocess.Popen[str]:
    # -P: the script's folder is no place for imports. Warnings could quote an answer.
    command = [sys.executable, "-P", "-W", "ignore", str(_SCRIPT)]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    if not _exchange(child, None):
        status = child.wait()
        raise EvaluationError(
            f"grading LaTeX answers: the process that runs math-verify ended with status {status} "
            "at its start, expected it to load; see above, or reinstall 'math-verify[antlr4_13_2]'"
        )
    return child


def _exchange(child: subprocess.Popen[str], line: str | None) -> str:
    """The child's next line, after one was sent to it; empty once it has ended."""
    assert child.stdin is not None and child.stdout is not None
    try:
        if line is not None:
            child.stdin.write(line + "\n")
            child.stdin.flush()
        return child.stdout.readline()
    except BrokenPipeError:
        return ""
