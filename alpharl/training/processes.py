"""Training in several processes: one command starts them, and one of them writes."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from alpharl import locks
from alpharl.checkpoints.manifest import digest_json
from alpharl.errors import StudyError

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # of Linux's prctl(2)
_PID_DIGITS = 20


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Be the only process, or group of processes, that trains into a folder.

    A job outlives a Snakemake that is killed; started again, two would write the same files. On
    this machine: jobs of SLURM are asked for before any is submitted (`alpharl.slurm.jobs`), and
    on a shared file system the lock of a node that fell would stay.

    Raises:
        StudyError: another one does.
    """
    path = locks.folder() / f"train-{digest_json(str(out.resolve()))}.lock"
    lock = locks.take(path)
    if lock is None:
        raise StudyError(
            f"{out}: found process {path.read_text().strip()} that trains there, expected none; "
            "wait for its end, or stop it"
        )
    with lock:
        # As long as any number, so that nothing of an earlier one stays.
        lock.write(f"{os.getpid():<{_PID_DIGITS}}")
        lock.flush()
        yield


def end_with_parent() -> None:
    """Have Linux kill this process when the one that started it ends, however it ends.

    The launcher gives each process a session of its own, so that no signal to the group reaches
    them: killed, it would leave them behind, training.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def launched() -> bool:
    """Whether this process is one of several."""
    return "LOCAL_RANK" in os.environ  # which tells torch and accelerate the same


def is_main() -> bool:
    """Whether this process writes files and prints: of several, the first."""
    return not launched() or os.environ["RANK"] == "0"


def launch(count: int, arguments: Sequence[str]) -> None:
    """Run `alpharl` with these arguments in so many processes on this machine, to their end.

    Raises:
        StudyError: one of them failed. What it printed says why.
    """
    # The launcher's name for "several processes here": without GPUs they are CPU processes.
    options = ["--multi_gpu", "--num_processes", str(count), "--num_machines", "1"]
    # Port 0: any free one, since other runs may be under way on this machine.
    options += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *options]
    words = [*command, "-m", "alpharl.cli", *arguments]
    process = subprocess.Popen(words, preexec_fn=end_with_parent)
    try:
        status = process.wait()
    except BaseException:
        process.terminate()  # the launcher ends the others
        process.wait()
        raise
    if status:
        raise StudyError(
            f"found exit status {status} of {count} processes, expected 0; see the lines above"
        )
