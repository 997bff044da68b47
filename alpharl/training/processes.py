"""Training in several processes: one command starts them, and one of them writes."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from alpharl import locks
from alpharl.checkpoints.manifest import digest_json
from alpharl.errors import StudyError

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # of Linux's prctl(2)
_PID_DIGITS = 20
_NOTE = re.compile(r"[IWE]\d{4} \d\d:\d\d:\d\d\.\d+ ")
"""How lines of the launcher begin."""
_ENDS = ("alpharl train: ", "Traceback (most recent call last)")
"""How the last words of a process begin, or of the launcher."""
_ERROR = re.compile(r"alpharl train: error: (.+)")
_STATUS = re.compile(r"exitcode *: (-\d+)")
_KILLED = (
    "found a process killed by {}, expected it to train to the end; where the system did it, ask "
    "for more memory; run it again, and it goes on"
)


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

    What they print is passed on, but not what the launcher says of one that failed.

    Raises:
        StudyError: one of them failed, with the line that it ended with.
    """
    # The launcher's name for "several processes here": without GPUs they are CPU processes.
    options = ["--multi_gpu", "--num_processes", str(count), "--num_machines", "1"]
    # Port 0: any free one, since other runs may be under way on this machine.
    options += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *options]
    words = [*command, "-m", "alpharl.cli", *arguments]
    process = subprocess.Popen(
        words, preexec_fn=end_with_parent, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    assert process.stderr
    try:
        said = _pass_on(process.stderr)
        status = process.wait()
    except BaseException:
        process.terminate()  # the launcher ends the others
        process.stderr.close()
        process.wait()
        raise
    if status:
        raise StudyError(said or f"found exit status {status} of {count} processes, expected 0")


def _pass_on(lines: Iterable[str]) -> str:
    """Print what the processes print, but what they and their launcher say when one has failed.

    Returns:
        Why one failed: the line that it ended with, or else how the launcher saw it end.
    """
    killed, said, last = "", "", ""
    for line in lines:
        # The others then fail too, because they do not hear from it any more.
        for status in filter(_is_kill, map(int, _STATUS.findall(line))):
            killed = killed or _KILLED.format(signal.Signals(-status).name)
        if last or line.startswith(_ENDS):
            error = _ERROR.match(line)
            said, last = said or (error[1] if error else ""), line.strip() or last
        elif not _NOTE.match(line):
            sys.stderr.write(line)
    return killed or said or last


def _is_kill(status: int) -> bool:
    """Whether a process ended by a signal that is not the launcher's, with which it ends others."""
    return status < 0 and status != -signal.SIGTERM
