"""Why a checkpoint's weights may be its base's, as far as its folder tells. Torch-free."""

from __future__ import annotations

from pathlib import Path

from alpharl.checkpoints.adapter import MergedIndex, is_adapter, read_model
from alpharl.checkpoints.index import ADAPTER_CONFIG
from alpharl.errors import CheckpointError

BESIDE = "lora_adapter"
"""Where verl's merger puts the adapter of a model whose weights it leaves as they were."""


def why_unmoved(folder: Path, base: Path) -> str | None:
    """The reason and what to do, in words; None if the folder tells nothing.

    Args:
        folder: of a checkpoint that equals the base.
        base: the model folder that it equals.
    """
    beside = [path for path in (folder / BESIDE, folder.parent / BESIDE) if is_adapter(path)]
    if _is_scaled_away(folder, base):
        return (
            f"lora_alpha is 0 in {folder / ADAPTER_CONFIG}, so the adapter adds nothing: write the "
            "alpha there that it was trained with"
        )
    if beside:
        return unmerged(str(beside[0]))
    return None


def unmerged(adapter: str) -> str:
    """The reason if there is an adapter next to a model."""
    return (
        f"an adapter lies in {adapter} and was not merged: name that folder as the checkpoint, or "
        "merge it with PEFT"
    )


def _is_scaled_away(folder: Path, base: Path) -> bool:
    """Whether the folder is an adapter that is multiplied by 0."""
    try:
        index = read_model(folder, base)
    except CheckpointError:  # a gram may outlive the weights
        return False
    return isinstance(index, MergedIndex) and not any(u.scale for u in index.updates.values())
