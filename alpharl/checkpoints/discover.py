"""Runs that lie in a folder, as trainers name their checkpoints. Torch-free; opens no weights.

checkpoint-N                                   TRL and transformers
global_step_N, .../actor/huggingface           verl: merged models, or adapters
step-N, step_N, epoch_E_step_N, N              others

Whatever looks like a checkpoint and is left out is named, with the reason.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alpharl.checkpoints.foreign import foreign_at
from alpharl.checkpoints.header import read_header
from alpharl.checkpoints.index import (
    ADAPTER,
    ADAPTER_CONFIG,
    INDEX,
    SINGLE,
    read_config,
    read_index,
)
from alpharl.errors import CheckpointError

_STEP = re.compile(r"(?:.*[-_])?(?:checkpoint|ckpt|step|iter)[-_]?([0-9]+)|([0-9]+)")
_EPOCH = re.compile(r"epoch[-_]?([0-9]+)", re.IGNORECASE)
_INSIDE = ("", "actor/huggingface", "actor/model/huggingface", "actor/lora_adapter", "actor",
           "huggingface")  # fmt: skip
"""Where in a step's folder its weights may be, the likeliest first."""
_DEEP = 3
"""Folders between the one that is looked at and a run: project, experiment, output."""


@dataclass(frozen=True)
class LeftOut:
    """A folder that looks like a checkpoint, and is none of a run."""

    folder: Path
    reason: str
    """What it holds, or how its name differs, as in `holds no weights`."""


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
    left_out: list[LeftOut] = field(default_factory=list)
    """What else lies in the run's folder."""

    @property
    def pattern(self) -> str | None:
        """The folders with `{step}` in place of the step; None where no pattern is all of them."""
        texts = {step: str(path) for step, path in self.folders.items()}
        step, first = next(iter(texts.items()))
        for match in re.finditer(str(step), first):
            pattern = f"{first[: match.start()]}{{step}}{first[match.end() :]}"
            if all(pattern.replace("{step}", str(s)) == text for s, text in texts.items()):
                return pattern
        return None


def find_runs(folder: Path) -> tuple[list[FoundRun], list[LeftOut]]:
    """The runs in a folder, its own checkpoints or those of the folders in it, and what is left.

    Returns:
        The runs, each with what is left out of its folder; and what is left out elsewhere.

    Raises:
        CheckpointError: no such folder, no checkpoint, or only such as are in another layout.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; name one that holds checkpoints")
    entries = list(_search(folder, folder, _DEEP))
    runs = [entry for entry in entries if isinstance(entry, FoundRun)]
    left_out = [entry for entry in entries if isinstance(entry, LeftOut)]
    if runs:
        return runs, left_out
    _refuse_foreign([*(entry.folder for entry in left_out), folder])
    if left_out:
        raise CheckpointError(
            f"{left_out[0].folder}: found no checkpoint: it {left_out[0].reason}; expected "
            f"folders such as checkpoint-100 that hold {SINGLE}, {INDEX} or {ADAPTER}"
        )
    raise CheckpointError(
        f"{folder}: found no checkpoints, expected folders such as checkpoint-100, step-100 or "
        f"global_step_100 that hold {SINGLE}, {INDEX} or {ADAPTER}; name their parent folder"
    )


def _search(top: Path, folder: Path, deep: int) -> Iterator[FoundRun | LeftOut]:
    """The run of a folder, or those of the folders in it; and what is left out of them."""
    # Links to nothing are looked at too, to be named.
    entries = (p for p in folder.iterdir() if p.is_dir() or not p.exists())
    children = sorted(p for p in entries if not p.name.startswith("."))
    steps = _steps(children)
    run = _run(top, folder, steps)
    if run:
        run.left_out.extend(_beside(steps, [p for p in children if p not in steps.values()], deep))
        yield run
        return
    for child in children:
        inside = list(_search(top, child, deep - 1)) if deep and child.is_dir() else []
        if any(isinstance(entry, FoundRun) for entry in inside):
            yield from inside
        elif child in steps.values():
            yield LeftOut(child, _lack(child))
        else:
            yield from inside
            yield from [LeftOut(child, _NO_STEP)] if _kind(child) or foreign_at(child) else []


_NO_STEP = "has no step in its name"


def _steps(children: Sequence[Path]) -> dict[int, Path]:
    """The step folders among these, increasing: of one way to name them, the most frequent.

    Names may differ in their epoch, if steps go on counting from one epoch to the next. Of two with
    one step, that without zeros before its number counts.
    """
    named: dict[str, dict[int, Path]] = {}
    for child in sorted(children, key=lambda path: len(path.name)):
        if match := _STEP.fullmatch(child.name):
            number = match[1] or match[2]
            way = child.name.removesuffix(number)
            for name in {way, _EPOCH.sub("epoch", way)}:
                named.setdefault(name, {}).setdefault(int(number), child)
    ways = [dict(sorted(steps.items())) for steps in named.values()]
    return max((steps for steps in ways if _epochs_increase(steps)), key=len, default={})


def _epochs_increase(steps: Mapping[int, Path]) -> bool:
    epochs = [[int(epoch) for epoch in _EPOCH.findall(path.name)] for path in steps.values()]
    return epochs == sorted(epochs)


def _run(top: Path, folder: Path, steps: Mapping[int, Path]) -> FoundRun | None:
    """The run of one folder; None where no step folder holds weights that can be used."""
    inside = max(_INSIDE, key=lambda name: sum(bool(_kind(p / name)) for p in steps.values()))
    folders = {step: path / inside for step, path in steps.items()}
    kinds = {step: kind for step, path in folders.items() if (kind := _kind(path))}
    kind = next((kinds[step] for step in sorted(kinds, reverse=True) if step > 0), None)
    if kind is None:
        return None
    reasons = {s: _why_not(path, inside, kind) for s, path in steps.items() if s > 0}
    reasons |= _twins({step: steps[step] for step, reason in reasons.items() if not reason})
    chosen = {step: folders[step] for step, reason in reasons.items() if not reason}
    if not chosen:
        return None
    left_out = [LeftOut(steps[step], reason) for step, reason in reasons.items() if reason]
    if 0 in steps and kinds.get(0) != "models":
        left_out.insert(0, LeftOut(steps[0], "is step 0, the base, and holds no model"))
    base = str(folders[0]) if kinds.get(0) == "models" else _base_of(next(iter(chosen.values())))
    return FoundRun("-".join(folder.relative_to(top).parts), chosen, kind, base, left_out)


def _why_not(folder: Path, inside: str, kind: str) -> str | None:
    """Why a step folder is left out of a run whose checkpoints are of a kind; None if it is not."""
    own = _kind(folder / inside)
    if own is None:
        return _lack(folder)
    return _damage(folder / inside) if own == kind else f"holds {own}, while others hold {kind}"


def _lack(folder: Path) -> str:
    """What a step folder holds in place of the weights that are expected."""
    if not folder.exists():
        return "is a link to nothing"
    paths = [folder / name for name in _INSIDE]
    for path in filter(_kind, paths):
        elsewhere = path.relative_to(folder)
        return (
            _damage(path) or f"has its weights in '{elsewhere}', while others have them elsewhere"
        )
    foreign = next(filter(None, map(foreign_at, paths)), None)
    return f"holds {foreign.what}, no safetensors" if foreign else "holds no weights"


def _damage(path: Path) -> str | None:
    """The fault of a model folder or an adapter, as far as headers tell; None if there is none."""
    try:
        if _kind(path) == "models":
            read_index(path)
        else:
            read_header(path / ADAPTER)
    except CheckpointError as error:
        text = str(error).removeprefix(f"{path}: ").removeprefix(f"{path}/")
        return f"is damaged: {text}"
    return None


def _twins(folders: Mapping[int, Path]) -> dict[int, str | None]:
    """Steps whose folders are links to those of other steps, with the reason to leave them out."""
    first: dict[Path, Path] = {}
    twins: dict[int, str | None] = {}
    for step, path in sorted(folders.items(), key=lambda item: item[1].is_symlink()):
        other = first.setdefault(path.resolve(), path)
        if other != path:
            twins[step] = f"is a link to {other.name}"
    return twins


def _beside(steps: Mapping[int, Path], children: Sequence[Path], deep: int) -> Iterator[LeftOut]:
    """What lies next to the step folders of a run and looks like a checkpoint, or holds some."""
    links_first = sorted(steps.values(), key=Path.is_symlink, reverse=True)
    targets = {path.resolve(): path for path in links_first}
    for child in children:
        match = _STEP.fullmatch(child.name)
        inside = _search(child, child, deep - 1) if deep and child.is_dir() else iter(())
        if child.is_symlink() and child.resolve() in targets:
            yield LeftOut(child, f"is a link to {targets[child.resolve()].name}")
        elif match and int(match[1] or match[2]) in steps:
            yield LeftOut(child, "has a step in its name that another has")
        elif match:
            yield LeftOut(child, "is named in another way than the others")
        elif any(isinstance(entry, FoundRun) for entry in inside):
            yield LeftOut(child, "holds a run of its own: name that folder to init")
        elif _kind(child) or foreign_at(child):
            yield LeftOut(child, _NO_STEP)


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
