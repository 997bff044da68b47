"""Checkpoints of a run: by folder pattern, such as `runs/foo/checkpoint-{step}`, or one by one.

Torch-free.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from alpharl.errors import CheckpointError


def find_steps(pattern: str, files: bool = False) -> dict[int, Path]:
    """All checkpoint folders that a pattern matches, or all files, by step, increasing.

    Raises:
        CheckpointError: not one `{step}` in the pattern, nothing matches, or two have one step,
            such as `step-10` and `step-010`.
    """
    folders = steps_on_disk(pattern, files)
    if not folders:
        kind = "file" if files else "folder"
        raise CheckpointError(f"{pattern}: no {kind} matches; check the path and its '{{step}}'")
    return folders


def steps_on_disk(pattern: str, files: bool = False) -> dict[int, Path]:
    """The same, but nothing where nothing matches.

    Raises:
        CheckpointError: not one `{step}` in the pattern, or two have one step.
    """
    if pattern.count("{step}") != 1:
        raise CheckpointError(f"{pattern}: expected '{{step}}' once, as in runs/foo/step-{{step}}")
    before, after = pattern.rstrip("/").split("{step}")
    number = re.compile(re.escape(before) + r"([0-9]+)" + re.escape(after))
    folders: dict[int, Path] = {}
    for path in sorted(glob.glob(f"{glob.escape(before)}*{glob.escape(after)}")):
        match = number.fullmatch(path)
        if match and (Path(path).is_file() if files else Path(path).is_dir()):
            first = folders.setdefault(int(match[1]), Path(path))
            if first != Path(path):
                raise CheckpointError(
                    f"{pattern}: found {first} and {path}, expected one of step {int(match[1])}; "
                    "move one away"
                )
    return dict(sorted(folders.items()))


def at_steps(pattern: str, steps: list[int]) -> dict[int, Path]:
    """The checkpoint folders at given steps, without looking at the disk."""
    return {step: Path(pattern.replace("{step}", str(step))) for step in steps}


def given_steps(given: list[str], steps: list[int] | None) -> dict[int, Path]:
    """The checkpoint folders that a command line names.

    Args:
        given: one pattern, or `STEP=FOLDER` for each checkpoint.
        steps: only these; None is all, of a pattern all that are on the disk.

    Raises:
        CheckpointError: neither of both, nothing matches, or a step has no folder.
    """
    if len(given) == 1 and "{step}" in given[0]:
        return _of_pattern(given[0], steps)
    pairs = [re.fullmatch(r"(\d+)=(.+)", entry) for entry in given]
    folders = {int(pair[1]): Path(pair[2]) for pair in pairs if pair}
    if len(folders) < len(given):
        raise CheckpointError(
            f"{' '.join(given)}: expected one pattern with '{{step}}' in it, or STEP=FOLDER for "
            "each checkpoint, no step twice"
        )
    lacking = sorted(set(steps or []) - set(folders))
    if lacking:
        raise CheckpointError(f"found no folder of step {lacking[0]}; name it as STEP=FOLDER")
    return {step: folders[step] for step in steps or sorted(folders)}


Given = str | Path | Sequence[str] | Mapping[int, str | Path]
"""Checkpoints as people name them: a pattern, what `given_steps` takes, or folders by step."""


def _of_pattern(pattern: str, steps: list[int] | None) -> dict[int, Path]:
    """The folders on the disk, or those of the steps: on the disk, numbers may begin with zeros."""
    folders = find_steps(pattern)
    return {s: folders.get(s, path) for s, path in at_steps(pattern, steps or [*folders]).items()}


def run_folders(given: Given, steps: Sequence[int] | None = None) -> dict[int, Path]:
    """The model folders of a run, by step, increasing.

    Step 0 is left out: it is the base, no observation, also where it was saved with the run.

    Args:
        given: a pattern with `{step}`; a list of one pattern or of `STEP=FOLDER`; or a mapping.
        steps: only these; None is all.

    Raises:
        CheckpointError: as `given_steps`, or nothing comes after step 0.
    """
    if isinstance(given, Mapping):
        given = [f"{step}={folder}" for step, folder in given.items()]
    entries = [str(given)] if isinstance(given, str | Path) else list(given)
    folders = given_steps(entries, list(steps) if steps else None)
    if max(folders, default=0) < 1:
        raise CheckpointError(
            f"{' '.join(entries)}: found no checkpoint after step 0, expected at least one; name "
            "the folders that training saved"
        )
    return {step: folders[step] for step in sorted(folders) if step > 0}


def known_steps(given: Given, steps: Sequence[int] | None = None) -> frozenset[int]:
    """Steps that a run has checkpoints of, as far as what names them tells.

    Those that `steps` leaves out are among them: of a pattern all that are on the disk, else all
    that are named.

    Raises:
        CheckpointError: as `run_folders`.
    """
    named = run_folders(given, steps)
    try:
        return frozenset({*named, *run_folders(given)})
    except CheckpointError:  # folders that are gone, while files made of them are there
        return frozenset(named)


def step_of(folder: Path) -> int:
    """The number at the end of a folder's name.

    Raises:
        CheckpointError: the name has none.
    """
    match = re.search(r"(\d+)$", folder.name)
    if match is None:
        raise CheckpointError(f"{folder}: found no step in the name; give it with --step")
    return int(match.group(1))
