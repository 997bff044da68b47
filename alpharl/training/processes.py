"""Training in several processes: one command starts them, and one of them writes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from alpharl.errors import StudyError


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
    process = subprocess.Popen([*command, "-m", "alpharl.cli", *arguments])
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
