"""From the runs that were found in a folder to what a first study file says of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from alpharl.checkpoints.discover import FoundRun, is_model_folder, is_repository
from alpharl.errors import StudyError
from alpharl.study.starter import StarterRun

Keys = dict[str, str | dict[str, str]]
"""What the study file says of a base."""


def named(text: str) -> str:
    """The text as a name of the study file: letters, digits, dots, dashes, underscores."""
    return re.sub(r"^[^A-Za-z0-9]+|[^\w.-]+", "-", text, flags=re.ASCII).strip("-") or "study"


def bases_of(discovered: list[FoundRun], given: str | None) -> dict[str, Keys]:
    """Bases by name: the given one, or those that the runs tell.

    Raises:
        StudyError: one is unknown, or neither a folder nor a repository.
    """
    bases: dict[str, Keys] = {}
    for run in discovered:
        base = given or run.base
        if base is None:
            raise StudyError(
                f"{next(iter(run.folders.values()))}: does not tell its base; "
                "name the model before RL with --base, a folder or a Hub repository"
            )
        keys, name = _base_keys(base), _base_name(base)
        while bases.get(name, keys) != keys:
            name += "-2"
        bases[name] = keys
    return bases


def repository(keys: Keys) -> str | None:
    """The Hub repository that a base is fetched from; None for a folder."""
    hub = keys.get("hub")
    return hub["repo"] if isinstance(hub, dict) else None


def _base_name(base: str) -> str:
    return named(Path(base).resolve().name if Path(base).is_dir() else base.rpartition("/")[2])


def _base_keys(base: str) -> Keys:
    if is_model_folder(base):
        return {"path": base}
    # `models/base` reads like a repository's name: not where `models` is a folder here.
    if is_repository(base) and not Path(base).parent.is_dir():
        return {"hub": {"repo": base}}
    raise StudyError(
        f"{base}: found neither a model folder with config.json and safetensors weights nor a name "
        "like org/model, expected one as the base; give another --base"
    )


def starters(
    discovered: list[FoundRun], bases: Mapping[str, Keys], study: str
) -> dict[str, StarterRun]:
    """The runs by name, as the study file says them."""
    runs: dict[str, StarterRun] = {}
    for run in discovered:
        name = named(run.name) if run.name else study
        while name in runs:
            name += "-2"
        base = next(iter(bases))
        if len(bases) > 1:  # so none was given, and every run tells its own
            keys_of_base = _base_keys(str(run.base))
            base = next(base for base, keys in bases.items() if keys == keys_of_base)
        source = run.pattern or {step: str(path) for step, path in run.folders.items()}
        runs[name] = StarterRun(base, source, list(run.folders), note(run))
    return runs


def note(run: FoundRun) -> str:
    """What was found of a run, such as `4 models, steps 10 to 50; 1 step folders hold none`."""
    steps = list(run.folders)
    left = f"; {len(run.left_out)} step folders hold none" if run.left_out else ""
    return f"{len(steps)} {run.kind}, steps {steps[0]} to {steps[-1]}{left}"


def has_chat_template(base: str | dict[str, str] | None) -> bool:
    """Whether a local base's tokenizer has a chat template."""
    if not isinstance(base, str):
        return False
    if (Path(base) / "chat_template.jinja").is_file():
        return True
    try:
        return "chat_template" in json.loads((Path(base) / "tokenizer_config.json").read_text())
    except (OSError, ValueError):
        return False
