"""SLURM's own commands. They hang for minutes where the controller is down, so each has a limit."""

from __future__ import annotations

import subprocess

from alpharl.errors import ClusterError

SECONDS = 30
"""That a command may take."""


def run(*command: str) -> str:
    """What the command prints.

    Raises:
        ClusterError: it is not there, does not end in time, or fails.
    """
    name = command[0]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except OSError:
        raise ClusterError(
            f"found no command {name}, expected SLURM's; run this on a login node of the cluster"
        ) from None
    except subprocess.TimeoutExpired:
        raise ClusterError(
            f"{name} gave no answer in {SECONDS} s; try again when SLURM's controller is up"
        ) from None
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"status {done.returncode}"
        raise ClusterError(f"{name} failed: {said}; try again, or ask the site")
    return done.stdout
