"""What a run's checkpoints have other than their base, next to their weights, in words. Torch-free.

None of it stops anything: a config that changes the function, other rows of tokens, another
tokenizer. Whoever measures or scores a run says it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from alpharl.checkpoints.adapter import read_model
from alpharl.checkpoints.config_file import CONFIG, raw_config, text_config
from alpharl.checkpoints.configs import Change, changes, listed
from alpharl.checkpoints.index import INDEX, SINGLE, read_config
from alpharl.checkpoints.tokenizers import tokenizer_change
from alpharl.checkpoints.vocabulary import ResizedIndex
from alpharl.errors import CheckpointError
from alpharl.progress import Progress


@dataclass(frozen=True)
class Difference:
    """What checkpoints have other than their base."""

    names: list[Any]
    """Steps or names of the checkpoints."""
    text: str
    """What differs, and what follows from it, in a line that begins with the checkpoints."""


def differences(
    base: Path, folders: Mapping[Any, Path], tokenizers: bool = False
) -> list[Difference]:
    """What a run's checkpoints have other than their base, each of it once.

    Args:
        base: model folder of step 0.
        folders: of checkpoints, by step or by name; those that are gone are passed over.
        tokenizers: look at tokenizers too; only where text is made or read.

    Raises:
        CheckpointError: a config that cannot be read, or of another model than the base's.
    """
    texts: dict[str, list[Any]] = {}
    for name, folder in folders.items():
        if folder.is_dir():
            other = tokenizer_change(base, folder) if tokenizers else []
            for text in [*_of(base, folder), *other]:
                texts.setdefault(text, []).append(name)
    return [Difference(names, f"{_listed(names)}: {text}") for text, names in texts.items()]


def tell(
    progress: Progress, base: Path, folders: Mapping[Any, Path], tokenizers: bool = False
) -> None:
    """Say all of it, a line each. Arguments: as `differences`."""
    for difference in differences(base, folders, tokenizers):
        progress.line(f"note: {difference.text}")


def shared_config(base: Path, folders: Mapping[int, Path]) -> tuple[int, tuple[Change, ...]]:
    """The config that a model which is made of checkpoints has.

    Args:
        base: model folder of step 0.
        folders: of the checkpoints, by step.

    Returns:
        The last step where all checkpoints change the base's config in the same way, and how; or 0,
        the base's, where none changes it.

    Raises:
        CheckpointError: the configs of the checkpoints change different things.
    """
    by_step = {step: changes(base, folder) for step, folder in sorted(folders.items())}
    if len(set(map(repr, by_step.values()))) > 1:
        groups = [(text, [*group]) for text, group in groupby(by_step, key=lambda s: by_step[s])]
        (_, before), (changed, after) = groups[:2]
        first = listed(changed) or listed(by_step[before[0]])
        raise CheckpointError(
            f"found configs that differ between steps {before[-1]} and {after[0]}: {first}; "
            "expected one function for all checkpoints that a model is made of: leave some out, "
            "or correct their config.json"
        )
    last = max(by_step, default=0)
    return (last, by_step[last]) if by_step and by_step[last] else (0, ())


def _of(base: Path, folder: Path) -> list[str]:
    """Texts on one checkpoint."""
    changed, texts = changes(base, folder), []
    if changed:
        texts.append(
            f"config.json has {listed(changed)}: the same weights compute something else with it; "
            "a checkpoint is scored with its own config, a model made of the run has the run's"
        )
    own, rows = token_rows(base, folder)
    if own != rows:
        texts.append(
            f"{own} rows of tokens, the base has {rows}: the first {min(own, rows)} are compared; "
            "a checkpoint is scored with its own rows, a model made of the run has the base's"
        )
    return texts


def token_rows(base: Path, folder: Path) -> tuple[int, int]:
    """Rows of tokens of a checkpoint and of its base; equal where nobody tells.

    Headers are read only where the checkpoint has no config.
    """
    rows = read_config(base).get("vocab_size", 0)
    if not any((folder / name).is_file() for name in (SINGLE, INDEX)):
        return rows, rows  # an adapter, or weights that are gone
    if (folder / CONFIG).is_file():
        own = text_config(raw_config(folder)).get("vocab_size")
        return (own if isinstance(own, int) and isinstance(rows, int) else rows), rows
    index = read_model(folder, base)
    return (index.rows if isinstance(index, ResizedIndex) else rows), rows


def _listed(names: Sequence[Any]) -> str:
    """Names in a few words, as in `steps 10 to 300 (30 of them)`."""
    words = ", ".join(map(str, names))
    if len(names) > 4:
        words = f"{names[0]} to {names[-1]} ({len(names)} of them)"
    if not all(isinstance(name, int) for name in names):
        return words
    return f"step {words}" if len(names) == 1 else f"steps {words}"
