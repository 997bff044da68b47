"""A process that is spoken to in lines of JSON, and never outlives its parent's interest."""

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
from alpharl.redact import redacted, words
from alpharl.scratch import scratch

_PATIENCE_S = 10
"""To end by itself, once nothing more will be asked."""
_SHOWN_LINES = 5
_SHOWN_CHARACTERS = 500


class WorkerProcess:
    """The process and those that it starts: they end with it, however it ends.

    What it writes to standard error goes to a temporary file. If something fails, that is moved out
    of its temporary folder and stays.
    """

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        """Start it, in a process group of its own.

        Args:
            command: program and arguments.
            environment: its environment variables.
        """
        self._name = Path(command[-1]).name
        self._stack = contextlib.ExitStack()
        self._log = self._stack.enter_context(scratch("worker")) / "standard-error.log"
        self._log.touch(0o600)
        with self._log.open("wb") as errors:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=errors, encoding="utf-8", start_new_session=True,
            )  # fmt: skip
        self._reaper = threading.Thread(target=self._reap, daemon=True)
        self._reaper.start()

    @property
    def pid(self) -> int:
        """Number of the process, and of its group."""
        return self._process.pid

    def send(self, request: Mapping[str, Any]) -> None:
        """Send one line.

        Raises:
            EvaluationError: it is dead.
        """
        assert self._process.stdin
        # Looked at first: what it started may hold the pipe a moment longer.
        if self._process.returncode is not None:
            raise self._death()
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
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise self._failure(f": {words(answer['error'], _SHOWN_CHARACTERS)}")
        return answer

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
        self._stack.close()

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
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines()]
        last = redacted(" | ".join(line for line in lines[-_SHOWN_LINES:] if line))
        return self._failure(
            f" {how} before it answered; its last lines: {last[-_SHOWN_CHARACTERS:]}"
        )

    def _failure(self, what: str) -> EvaluationError:
        if self._log.parent != Path(tempfile.gettempdir()):
            stem = Path(self._name).stem
            handle, log = tempfile.mkstemp(prefix=f"alpharl-{stem}-", suffix=".log")
            os.close(handle)
            self._log = self._log.replace(log)
        return EvaluationError(f"{self._name}{what}; all that it wrote: {self._log}")
