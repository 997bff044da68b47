"""What lets a killed run go on: the trainer's state, tied to the recipe and the base it fits."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from alpharl.checkpoints.files import write_json

FOLDER = ".resume"
_STAMP = "stamp.json"
_STEP_FOLDER = re.compile(r"\.?step-\d+(\.partial)?")


def find_state(out: Path, stamp: dict[str, Any], processes: int = 1) -> Path | None:
    """The trainer state in `out` to go on from, or None after clearing `out` for a new start.

    A state counts only if it was made under an equal `stamp`; after another recipe or base, its
    checkpoints are of no use either and go too. Each of several processes stores a random state.
    """
    if _read_json(out / FOLDER / _STAMP) == stamp:
        states = sorted((out / FOLDER).glob("checkpoint-*"), key=_step, reverse=True)
        complete = [path for path in states if _is_complete(path, processes)]
        if complete:
            return complete[0]
    clear(out)
    write_json(out / FOLDER / _STAMP, stamp)
    return None


def remove_state(out: Path) -> None:
    """Remove the trainer's state from a finished run."""
    shutil.rmtree(out / FOLDER)


def _step(state: Path) -> int:
    return int(state.name.rpartition("-")[2])


def clear(out: Path) -> None:
    """Remove what an earlier run left in `out`; files that are not a run's own are left alone."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)
    (out / "training.csv").unlink(missing_ok=True)
    for path in out.glob("*step-*"):
        if _STEP_FOLDER.fullmatch(path.name):
            shutil.rmtree(path)


def _is_complete(state: Path, processes: int) -> bool:
    """The trainer writes its JSON file last, but one process does not wait for the others."""
    random_states = len(list(state.glob("rng_state*.pth")))
    return bool(_read_json(state / "trainer_state.json")) and random_states >= processes


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
