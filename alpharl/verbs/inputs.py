"""What verbs read from the command line beyond single values: options, and names with paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from alpharl.checkpoints.sources import find_steps, given_steps
from alpharl.errors import MethodError, StudyError


def run_folders(checkpoints: list[str], steps: list[int] | None) -> dict[int, Path]:
    """Model folders of a run's steps, increasing, as `--checkpoints` and `--steps` name them.

    Raises:
        CheckpointError: nothing matches, or a step has no folder.
    """
    folders = given_steps(checkpoints, steps)
    # Step 0 is the base, not an observation, also where it was saved with the run.
    return {step: folders[step] for step in sorted(folders) if step > 0}


def option_pair(pair: str, form: str = "KEY=VALUE") -> tuple[str, Any]:
    """The key and the value of `--option KEY=VALUE`; the value is YAML, as in a study file.

    Raises:
        MethodError: there is no `=`, or the value is not YAML.
    """
    key, equals, text = pair.partition("=")
    if not equals:
        raise MethodError(f"option '{pair}': found no '=', expected {form}")
    try:
        return key, yaml.safe_load(text)
    except yaml.YAMLError:
        raise MethodError(
            f"option '{pair}': found '{text}', expected a value as a study file has it"
        ) from None


def named_paths(entries: list[str], files: bool = False) -> dict[str, Path]:
    """Paths by name, from entries `NAME=PATH`; with `{step}` in both, one for each step.

    For example, `step-{step}=runs/foo/checkpoint-{step}` names every checkpoint of a run.

    Args:
        entries: as the command line has them.
        files: paths of a pattern are files, not folders.

    Raises:
        CheckpointError: nothing matches a pattern.
        StudyError: an entry has no `=`, or two have one name.
    """
    pairs: list[tuple[str, Path]] = []
    for entry in entries:
        name, equals, path = entry.partition("=")
        if not equals:
            raise StudyError(f"found '{entry}', expected NAME={entry}")
        steps = find_steps(path, files) if "{step}" in path else {}
        pairs += [(name.replace("{step}", str(step)), p) for step, p in steps.items()]
        pairs += [] if steps else [(name, Path(path))]
    named = dict(pairs)
    if len(named) < len(pairs):
        raise StudyError(
            f"found {len(pairs)} paths with {len(named)} names, expected a name each; put {{step}} "
            "into the name of a pattern"
        )
    return named
