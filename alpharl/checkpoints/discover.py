"""Runs that lie in a folder, as trainers name their checkpoints. Torch-free; opens no weights.

checkpoint-N                                   TRL and transformers
global_step_N, .../actor/huggingface           verl: merged models, or adapters
step-N, step_N, N                              others
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from alpharl.checkpoints.foreign import foreign_at
from alpharl.checkpoints.index import ADAPTER, ADAPTER_CONFIG, INDEX, SINGLE, read_config
from alpharl.errors import CheckpointError

_STEP = re.compile(r"(?:.*[-_])?(?:checkpoint|ckpt|step|iter)[-_]?(\d+)|(\d+)")
_INSIDE = ("", "actor/huggingface", "actor/model/huggingface", "actor/lora_adapter", "actor",
           "huggingface")  # fmt: skip
"""Where in a step's folder its weights may be, the likeliest first."""
_DEEP = 3
"""Folders between the one that is looked at and a run: project, experiment, output."""


@dataclass(frozen=True)
class FoundRun:
    """Checkpoints of one run."""

    name: str
    """Path below the folder that was looked at, as one word; empty for that folder itself."""
    folders: dict[int, Path]
    """By step, increasing, without step 0."""
    kind: str
    """`models` or `LoRA adapters`."""
    base: str | None
    """Folder or Hub repository of the base, where the checkpoints or a step 0 tell."""
    left_out: list[Path] = field(default_factory=list)
    """Step folders without weights."""

    @property
    def pattern(self) -> str | None:
        """The folders with `{step}` in place of the step; None where numbers have zeros before."""
        texts = {step: str(path) for step, path in self.folders.items()}
        step, first = next(iter(texts.items()))
        for match in re.finditer(str(step), first):
            pattern = f"{first[: match.start()]}{{step}}{first[match.end() :]}"
            if all(pattern.replace("{step}", str(s)) == text for s, text in texts.items()):
                return pattern
        return None


def find_runs(folder: Path) -> list[FoundRun]:
    """The runs in a folder: its own checkpoints, or those of the folders in it.

    Raises:
        CheckpointError: no such folder, no checkpoint, or only such as are in another layout.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; name one that holds checkpoints")
    looked_at: list[Path] = []
    runs = list(_search(folder, folder, _DEEP, looked_at))
    if runs:
        return runs
    _refuse_foreign([*looked_at, folder])
    raise CheckpointError(
        f"{folder}: found no checkpoints, expected folders such as checkpoint-100, step-100 or "
        f"global_step_100 that hold {SINGLE}, {INDEX} or {ADAPTER}; name their parent folder"
    )


def _search(top: Path, folder: Path, deep: int, looked_at: list[Path]) -> Iterator[FoundRun]:
    """The run of a folder, or those of the folders in it; notes the step folders it looked at."""
    children = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    steps = _steps(children)
    looked_at += steps.values()
    run = _run(top, folder, steps)
    if run:
        yield run
    elif deep:
        for child in children:
            yield from _search(top, child, deep - 1, looked_at)


def _steps(children: list[Path]) -> dict[int, Path]:
    """The step folders among these, increasing: of one way to name them, the most frequent."""
    named: dict[str, dict[int, Path]] = {}
    for child in children:
        if match := _STEP.fullmatch(child.name):
            number = match[1] or match[2]
            named.setdefault(child.name.removesuffix(number), {})[int(number)] = child
    return dict(sorted(max(named.values(), key=len, default={}).items()))


def _run(top: Path, folder: Path, steps: dict[int, Path]) -> FoundRun | None:
    """The run of one folder; None where no step folder holds weights."""
    for inside in _INSIDE:
        folders = {step: path / inside for step, path in steps.items() if _kind(path / inside)}
        if folders:
            break
    else:
        return None
    kinds = {step: _kind(path) for step, path in folders.items()}
    trained = {step: path for step, path in folders.items() if step > 0}
    if not trained:
        return None
    kind = kinds[max(trained)]
    chosen = {step: path for step, path in trained.items() if kinds[step] == kind}
    base = str(folders[0]) if kinds.get(0) == "models" else _base_of(next(iter(chosen.values())))
    left_out = [path for step, path in steps.items() if step > 0 and step not in chosen]
    name = "-".join(folder.relative_to(top).parts)
    return FoundRun(name, chosen, str(kind), base, left_out)


def _kind(folder: Path) -> str | None:
    if (folder / SINGLE).is_file() or (folder / INDEX).is_file():
        return "models"
    return "LoRA adapters" if (folder / ADAPTER).is_file() else None


def _base_of(checkpoint: Path) -> str | None:
    """What a checkpoint says that it was trained from."""
    path = checkpoint / ADAPTER_CONFIG
    if (checkpoint / ADAPTER).is_file() and path.is_file():
        try:
            base = json.loads(path.read_text()).get("base_model_name_or_path")
        except (ValueError, AttributeError):
            return None
        # A path of another machine looks like none of both.
        usable = base and (is_model_folder(base) or is_repository(base))
        return str(base) if usable else None
    named = read_config(checkpoint).get("_name_or_path")
    itself = isinstance(named, str) and os.path.abspath(named) == os.path.abspath(checkpoint)
    return named if isinstance(named, str) and not itself and is_model_folder(named) else None


def is_model_folder(name: str) -> bool:
    """Whether this is a folder with a config and safetensors weights."""
    return bool(name) and _kind(Path(name)) == "models" and (Path(name) / "config.json").is_file()


def is_repository(name: str) -> bool:
    """Whether this may be a repository on the Hub, and is no folder: `org/name`."""
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", name)) and not Path(name).exists()


def _refuse_foreign(folders: list[Path]) -> None:
    """Say of the first checkpoint in a layout that is not read here what to do with all of them."""
    for path in folders:
        foreign = foreign_at(path)
        if foreign:
            raise CheckpointError(
                f"{path}: found {foreign.what}, expected safetensors; for each step, "
                f"{foreign.advice}"
            )
