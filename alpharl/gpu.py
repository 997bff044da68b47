"""Which GPUs a job computes on, where no scheduler says so.

Snakemake counts GPUs but hands out no ids, so that jobs which run side by side on one machine would
all land on its first card (snakemake issue 281). Here each job locks the cards that it takes. The
operating system drops the locks with the process, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from alpharl import locks
from alpharl.errors import DeviceError
from alpharl.progress import SILENT, Progress, shown

POLL_SECONDS = 0.5
"""Between two looks for free cards."""
_VISIBLE = "CUDA_VISIBLE_DEVICES"


@contextmanager
def allot(count: int, progress: Progress) -> Iterator[None]:
    """Hold `count` GPUs that no other job of this user holds, and show only those to CUDA.

    Waits until so many are free. Must be entered before torch is imported, which reads the
    variable once. A count of 0 does nothing. A SLURM job that sees just as many as it asks for
    takes them as they are: its scheduler has chosen them.

    Args:
        count: number of cards.
        progress: told once if the job has to wait.

    Raises:
        DeviceError: the machine, or `CUDA_VISIBLE_DEVICES`, has fewer cards.
    """
    cards = _pool() if count else []
    if len(cards) < count:
        raise DeviceError(
            f"found {len(cards)} GPUs ({', '.join(cards) or 'none'}), expected {count}; lower "
            f"'gpus' (--gpus), or check nvidia-smi and {_VISIBLE}"
        )
    if not count or ("SLURM_JOB_ID" in os.environ and len(cards) == count):
        yield
        return
    with ExitStack() as stack, _showing(_wait(cards, count, stack, progress)):
        yield


def require_visible(count: int) -> None:
    """Check that torch sees exactly the cards that were allotted; a count of 0 checks nothing.

    Raises:
        DeviceError: torch sees another number, as a build of torch without CUDA does.
    """
    if not count:
        return
    import torch

    visible = torch.cuda.device_count()
    if visible != count:
        raise DeviceError(
            f"torch {torch.__version__} sees {visible} GPUs, expected the {count} that were "
            f"allotted ({os.environ.get(_VISIBLE, 'all')}); check the driver and torch's CUDA build"
        )


@contextmanager
def cards(count: int) -> Iterator[None]:
    """Hold `count` GPUs while a verb works, once it is sure that torch sees them; 0 holds none.

    Raises:
        DeviceError: there are fewer, or torch sees another number.
    """
    with allot(count, shown()):
        require_visible(count)
        yield


def _pool() -> list[str]:
    """Ids of the cards that may be taken, as CUDA understands them."""
    if _VISIBLE in os.environ:
        listed = os.environ[_VISIBLE].split(",")
    else:
        listed = _nvidia_smi().splitlines()
    return [card.strip() for card in listed if card.strip()]


def _nvidia_smi() -> str:
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def _wait(cards: list[str], count: int, stack: ExitStack, progress: Progress) -> list[str]:
    """Lock `count` of the cards, as soon as so many are free; the stack holds the locks."""
    while not (taken := _take(cards, count)):
        # One line, however long it takes.
        progress.line(f"waiting for {count} of the GPUs {', '.join(cards)} to become free")
        progress = SILENT
        time.sleep(POLL_SECONDS)
    for lock in taken.values():
        stack.enter_context(lock)
    return list(taken)


def _lock(name: str) -> Path:
    """File of a lock; each SLURM job has its own, as it counts its own cards."""
    job = os.environ.get("SLURM_JOB_ID", "local")
    return locks.folder() / f"gpu-{job}-{name}.lock".replace("/", "_")


def _take(cards: list[str], count: int) -> dict[str, IO[str]]:
    """Open, locked files of `count` cards; none if fewer are free, so that nobody waits for half.

    One job looks at a time: two that want two of three cards cannot take one each.
    """
    taken: dict[str, IO[str]] = {}
    with locks.open_file(_lock("looking")) as looking:
        fcntl.flock(looking, fcntl.LOCK_EX)
        for card in cards:
            lock = locks.take(_lock(card))
            if lock is not None:
                taken[card] = lock
            if len(taken) == count:
                return taken
        for lock in taken.values():
            lock.close()
    return {}


@contextmanager
def _showing(cards: list[str]) -> Iterator[None]:
    """Set the variable that CUDA reads, and put it back."""
    before = os.environ.get(_VISIBLE)
    os.environ[_VISIBLE] = ",".join(cards)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VISIBLE]
        else:
            os.environ[_VISIBLE] = before
