"""A child process that is spoken to in lines of JSON, and never outlives its parent's interest."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alpharl.errors import EvaluationError

_PATIENCE_S = 10
"""To end by itself, once nothing more will be asked."""
_SHOWN_LINES = 5
_SHOWN_BYTES = 4000


class Child:
    """The process and those that it starts: they end with it, however it ends."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        """Start it, in a process group of its own.

        Args:
            command: program and arguments.
            environment: its environment variables.
        """
        self._name = Path(command[-1]).name
        self._log = tempfile.TemporaryFile(prefix="alpharl-")  # noqa: SIM115 (closed by `close`)
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._log, encoding="utf-8", start_new_session=True,
        )  # fmt: skip
        self._reaper = threading.Thread(target=self._reap, daemon=True)
        self._reaper.start()

    @property
    def pid(self) -> int:
        """Of the process, and of its group."""
        return self._process.pid

    def send(self, request: Mapping[str, Any]) -> None:
        """Send one line.

        Raises:
            EvaluationError: it is dead.
        """
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None

    def receive(self) -> dict[str, Any]:
        """Wait for one line.

        Raises:
            EvaluationError: it died, or reports an error.
        """
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise self._death()
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise EvaluationError(f"{self._name}: {found['error']}{self._last_words()}")
        return found

    def close(self) -> None:
        """End it: nothing more will be asked. Kills what does not end by itself."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                assert pipe
                pipe.close()
        self._reaper.join(_PATIENCE_S)
        if self._reaper.is_alive():
            self._kill()
            self._reaper.join()
        self._log.close()

    def _reap(self) -> None:
        """Wait for its end, and take along what it has started."""
        # Not yet collected, so that its number still names its group and no other.
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self._kill()
        self._process.wait()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _death(self) -> EvaluationError:
        self._reaper.join()
        status = self._process.returncode
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return EvaluationError(f"{self._name} {how} before it answered{self._last_words()}")

    def _last_words(self) -> str:
        """The end of what it wrote to standard error, in one line."""
        # Read at a place of our own: the position in the file is shared with the child.
        size = os.fstat(self._log.fileno()).st_size
        start = max(size - _SHOWN_BYTES, 0)
        text = os.pread(self._log.fileno(), size - start, start).decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f"; its last lines: {' | '.join(lines[-_SHOWN_LINES:])}" if lines else ""
