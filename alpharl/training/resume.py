"""What lets a killed run go on: the trainer's state, tied to the recipe and the base it fits."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from alpharl.checkpoints.files import write_json
from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.manifest import describe_model, digest_json
from alpharl.names import checkpoint_name
from alpharl.training import TRAIN_VERSION
from alpharl.training.setup import Setup

FOLDER = ".resume"
_STAMP = "stamp.json"
_STEP_FOLDER = re.compile(r"step-\d+")


def stamp(setup: Setup) -> dict[str, Any]:
    """What a stored state is made from."""
    models = {"base": setup.base, **({"teacher": setup.teacher} if setup.teacher else {})}
    digests = {k: describe_model(read_index(folder), 0)["digest"] for k, folder in models.items()}
    questions = digest_json(list(setup.asking.questions.texts))
    spec = setup.spec.model_dump(mode="json")
    return {"version": TRAIN_VERSION, "spec": spec, "questions": questions, **digests}


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


def find_checkpoint(out: Path, stamp: dict[str, Any], saved: list[int]) -> int:
    """The last saved step in `out` to go on from, or 0 after clearing `out` for a new start.

    For algorithms whose weights are all their state. Of another recipe or base, as above.
    """
    if _read_json(out / FOLDER / _STAMP) == stamp:
        return max((step for step in saved if (out / checkpoint_name(step)).is_dir()), default=0)
    clear(out)
    write_json(out / FOLDER / _STAMP, stamp)
    return 0


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Put a checkpoint's weights into the model, in place."""
    stored = type(model).from_pretrained(
        folder, dtype=model.dtype, use_safetensors=True, trust_remote_code=False
    )
    model.load_state_dict(stored.state_dict())


def remove_state(out: Path) -> None:
    """Remove the trainer's state from a finished run."""
    shutil.rmtree(out / FOLDER)


def _step(state: Path) -> int:
    return int(state.name.rpartition("-")[2])


def clear(out: Path) -> None:
    """Remove what an earlier run left in `out`; files that are not a run's own are left alone."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)
    for name in ("training.csv", "training.sha256"):
        (out / name).unlink(missing_ok=True)
    for path in out.glob("step-*"):
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
