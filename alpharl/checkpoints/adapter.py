"""LoRA checkpoints over a base, indexed as the model that they stand for. Torch-free.

PEFT keeps A (r, n) and B (m, r) of each matrix W (m, n). The model has W + scale B A, with
scale = alpha / r, or alpha / sqrt(r) with rsLoRA (https://arxiv.org/abs/2312.03732). Nothing is
merged on disk: a reader merges what it is asked for.

An adapter counts exactly as PEFT 0.21 would load it onto the base, or it is refused: PEFT ignores
tensors that its config does not name, and starts at random those that are named and lacking.
`tests/fuzz/adapters.py` compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from alpharl.checkpoints.fit import under_names_of
from alpharl.checkpoints.header import TensorInfo, read_header
from alpharl.checkpoints.index import (
    ADAPTER,
    ADAPTER_CONFIG,
    INDEX,
    SINGLE,
    ModelIndex,
    read_index,
)
from alpharl.checkpoints.lora_config import read_lora_config
from alpharl.checkpoints.lora_modules import BaseModules, shell_of
from alpharl.checkpoints.lora_names import PREFIX
from alpharl.checkpoints.lora_tensors import read_stored_tensors
from alpharl.checkpoints.plain import require_plain
from alpharl.errors import CheckpointError


@dataclass(frozen=True)
class LowRankUpdate:
    """What is added to one tensor (m, n): scale B A, or its transpose."""

    origin: TensorInfo
    """The tensor that it is added to, with the dtype that it is stored in."""
    a: TensorInfo
    b: TensorInfo
    scale: float
    transposed: bool


@dataclass(frozen=True)
class MergedIndex(ModelIndex):
    """The tensors of base and adapter together; those that are computed are float32."""

    updates: dict[str, LowRankUpdate]
    nbytes: int
    """Of the adapter's own file."""
    plain: bool
    """Low-rank updates of linear layers alone, of one scale: what each engine can put on a base."""

    @property
    def files(self) -> list[str]:
        """Names of the adapter's own files."""
        return [ADAPTER_CONFIG, ADAPTER]


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds a LoRA adapter and no model."""
    whole = any((folder / name).is_file() for name in (SINGLE, INDEX))
    return (folder / ADAPTER).is_file() and not whole


def read_model(folder: Path, base: Path | None) -> ModelIndex:
    """Index a model folder under its base's names, or a LoRA adapter together with its base.

    Raises:
        CheckpointError: no folder, no weights, a broken header, or an adapter that is no plain LoRA
            of this base.
    """
    if base is None:
        return read_index(folder)
    if not is_adapter(folder):
        return under_names_of(read_index(base), read_index(folder, base))
    return _read_adapter(folder, base)


def _read_adapter(folder: Path, base: Path) -> MergedIndex:
    """Index the model that PEFT makes of a base and an adapter, or refuse the adapter."""
    config, origin = read_lora_config(folder), read_index(base)
    infos = {info.name: info for info in read_header(folder / ADAPTER)}
    require_plain(folder, infos, {})
    shell = shell_of(origin.tensors, (key.removeprefix(PREFIX) for key in infos))
    in_memory = {f"{shell}{name}": info for name, info in origin.tensors.items()}
    stored = read_stored_tensors(folder, base, config, BaseModules(in_memory), infos)
    absolute = base.absolute()
    # Absolute names, since the base's files lie in another folder than the adapter's.
    tensors = {
        name: replace(info, file=str(absolute / info.file)) for name, info in origin.tensors.items()
    }
    for name, info in stored.whole.items():
        tensors[in_memory[name].name] = replace(info, name=in_memory[name].name)
    updates = {}
    for name, pair in stored.pairs.items():
        scale, own = config.scale_of(name.removesuffix(".weight")), in_memory[name].name
        updates[own] = LowRankUpdate(tensors[own], *pair, scale, name in stored.transposed)
    if not any(update.scale for update in updates.values()):
        raise CheckpointError(
            f"{folder / ADAPTER_CONFIG}: found lora_alpha 0, with which the adapter does nothing; "
            "expected the alpha of the training, in whose place verl's merger writes 0: set it"
        )
    merged = {name: replace(tensors[name], dtype="F32") for name in updates}
    odd = config.ranks or config.alphas or config.fan_in_fan_out or config.saved
    plain = not odd and not stored.transposed and not stored.whole and stored.usual
    size = sum(info.nbytes for info in infos.values())
    return MergedIndex(folder, tensors | merged, updates, size, bool(plain))
