"""Why a checkpoint's weights may be its base's, as far as its folder tells. Torch-free."""

from __future__ import annotations

from pathlib import Path

from alpharl.checkpoints.adapter import is_adapter

BESIDE = "lora_adapter"
"""Where verl's merger puts the adapter of a model whose weights it leaves as they were."""


def why_unmoved(folder: Path) -> str | None:
    """The reason and what to do, in words; None if the folder tells nothing.

    Args:
        folder: of a checkpoint that equals the base.
    """
    adapter = folder.parent / BESIDE
    return unmerged(str(adapter)) if is_adapter(adapter) else None


def unmerged(adapter: str) -> str:
    """The reason if there is an adapter next to a model."""
    return (
        f"an adapter lies in {adapter} and was not merged: name that folder as the checkpoint, or "
        "merge it with PEFT"
    )
