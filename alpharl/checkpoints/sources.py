"""Checkpoints of a run by folder pattern, such as `runs/foo/checkpoint-{step}`. Torch-free."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from alpharl.errors import CheckpointError


def find_steps(pattern: str) -> dict[int, Path]:
    """All checkpoint folders that a pattern matches, by step, increasing.

    Raises:
        CheckpointError: not one `{step}` in the pattern, or nothing matches.
    """
    if pattern.count("{step}") != 1:
        raise CheckpointError(f"{pattern}: expected '{{step}}' once, as in runs/foo/step-{{step}}")
    before, after = pattern.rstrip("/").split("{step}")
    number = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    found = {}
    for path in glob.glob(f"{glob.escape(before)}*{glob.escape(after)}"):
        match = number.fullmatch(path)
        if match and Path(path).is_dir():
            found[int(match.group(1))] = Path(path)
    if not found:
        raise CheckpointError(f"{pattern}: no folder matches; check the path and its '{{step}}'")
    return dict(sorted(found.items()))


def at_steps(pattern: str, steps: list[int]) -> dict[int, Path]:
    """The checkpoint folders at given steps, without looking at the disk."""
    return {step: Path(pattern.replace("{step}", str(step))) for step in steps}


def step_of(folder: Path) -> int:
    """The number at the end of a folder's name.

    Raises:
        CheckpointError: the name has none.
    """
    match = re.search(r"(\d+)$", folder.name)
    if match is None:
        raise CheckpointError(f"{folder}: found no step in the name; give it with --step")
    return int(match.group(1))
