"""LoRA checkpoints as engines take them: adapters on the base where they are plain, else models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpharl.checkpoints.adapter import MergedIndex, is_adapter, read_model
from alpharl.checkpoints.configs import as_json, changes
from alpharl.checkpoints.differences import tell
from alpharl.checkpoints.fit import require_same_tensors
from alpharl.checkpoints.index import ADAPTER, read_index
from alpharl.forecasting.contract import Blend
from alpharl.progress import Progress
from alpharl.variants.store import Variant, read_variant, require_model

_STEP = 1
"""Stands for the checkpoint's own step, which a blend of it alone does not depend on."""


@dataclass(frozen=True)
class AdapterCheckpoint(Variant):
    """An adapter that a trainer saved: it is put on the base as it is, or built as a model."""

    @property
    def adapter(self) -> Path | None:
        """The checkpoint's own folder, where it is put on the base."""
        return None if self.meta["changed"] else self.folder

    @property
    def blend(self) -> Blend:
        """The whole update of each tensor that it changes, where it is built."""
        return {name: {_STEP: 1.0} for name in self.meta["changed"]}

    def digest(self, known: Mapping[str, str]) -> str:
        """The checkpoint's own, as its manifest has it."""
        return known[os.path.abspath(self.folder)]


def adapter_checkpoint(folder: Path, base: Path, merged: bool = False) -> AdapterCheckpoint:
    """An adapter's folder as a variant.

    Args:
        folder: of the adapter.
        base: model folder that it is on.
        merged: have it built as a model, though an engine could put it on the base.

    Raises:
        CheckpointError: it is no plain LoRA of this base.
    """
    index = read_model(folder, base)
    changed: list[str] = []
    if isinstance(index, MergedIndex) and (merged or not index.plain):
        whole = [name for name, info in index.tensors.items() if info.file == ADAPTER]
        changed = [*index.updates, *(name for name in whole if name not in index.updates)]
    return AdapterCheckpoint(folder, base, {_STEP: folder}, {"changed": changed})


def read_source(folder: Path, base: Path) -> Path | Variant:
    """The model to score: a model folder, a variant, or an adapter checkpoint on the base.

    Raises:
        CheckpointError: it is none of them, broken, has other tensors than the base, or has an
            adapter that PEFT would not put on the base as a whole; no weight is read.
    """
    if (folder / "variant.json").is_file():
        variant = read_variant(folder)
        require_model(variant, base, variant.meta["models"][0])
        if variant.pure_adapter and variant.adapter:
            read_model(variant.adapter, base)
        return variant
    if is_adapter(folder):
        return adapter_checkpoint(folder, base)
    require_same_tensors(read_index(base), read_model(folder, base))
    return folder


def source_changes(source: Path | Variant, base: Path) -> dict[str, Any]:
    """What a model's config changes of the function that the base's config describes."""
    if isinstance(source, Variant):
        changed: dict[str, Any] = source.meta.get("config", {}).get("changes", {})
        return changed
    return as_json(changes(base, source))


def tell_of_sources(progress: Progress, base: Path, sources: Mapping[str, Path | Variant]) -> None:
    """Say what models that are scored have other than their base, next to their weights."""
    folders = {name: source for name, source in sources.items() if isinstance(source, Path)}
    tell(progress, base, folders, tokenizers=True)
    for name, source in sources.items():
        if isinstance(source, Variant) and source.config_step:
            changed = ", ".join(source_changes(source, base))
            progress.line(
                f"note: {name}: has the config of step {source.config_step}, which changes "
                f"{changed}"
            )


def source_digest(source: Path | Variant, known: Mapping[str, str]) -> str:
    """Digest of all that a model depends on, given those of model folders by absolute path."""
    if isinstance(source, Variant):
        return source.digest(known)
    return known[os.path.abspath(source)]
