"""Where each tensor of a model folder lies, from the headers of its files alone. Torch-free."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpharl.checkpoints.header import TensorInfo, read_header
from alpharl.checkpoints.verl import backend_of, merge_command, shards_at
from alpharl.errors import CheckpointError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


@dataclass(frozen=True)
class ModelIndex:
    """The tensors of a model folder, in the order in which its files hold them."""

    folder: Path
    tensors: dict[str, TensorInfo]

    @property
    def files(self) -> list[str]:
        """Names of the weight files, in order."""
        return list(dict.fromkeys(info.file for info in self.tensors.values()))


def read_index(folder: Path) -> ModelIndex:
    """Index a Hugging Face model folder, single-file or sharded.

    Raises:
        CheckpointError: no folder, no safetensors weights, or a broken header.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such checkpoint folder; check the path and the step")
    tensors = {}
    for name in _weight_files(folder):
        tensors.update({info.name: info for info in read_header(folder / name)})
    promised = set() if (folder / SINGLE).is_file() else set(_weight_map(folder))
    if promised - set(tensors):
        raise CheckpointError(
            f"{folder}: {INDEX} names {sorted(promised - set(tensors))[0]}, which is in none of "
            "its files; copy the model again"
        )
    return ModelIndex(folder, _without_tied_head(folder, tensors))


def read_config(folder: Path) -> dict[str, Any]:
    """The model's `config.json`; empty where there is none or it is not an object.

    What a multimodal model says of its language model stands at the top too.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(config, dict):
        return {}
    nested = config.get("text_config")
    return {**(nested if isinstance(nested, dict) else {}), **config}


def _without_tied_head(folder: Path, tensors: dict[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Some trainers save a tied head beside the embedding that it is; loaders ignore it."""
    if HEAD in tensors and EMBEDDING in tensors and read_config(folder).get("tie_word_embeddings"):
        return {name: info for name, info in tensors.items() if name != HEAD}
    return tensors


def _weight_files(folder: Path) -> list[str]:
    if (folder / SINGLE).is_file():
        return [SINGLE]
    if (folder / INDEX).is_file():
        return sorted(set(_weight_map(folder).values()))
    if (folder / ADAPTER).is_file():
        raise CheckpointError(
            f"{folder}: found a LoRA adapter alone, expected {SINGLE} or {INDEX}; name its "
            "base beside it, or merge it and save the whole model"
        )
    shards = shards_at(folder)
    if shards:
        command = " ".join(merge_command("python", shards, shards / "huggingface"))
        raise CheckpointError(
            f"{folder}: found verl's unmerged {backend_of(shards)} shards, expected {SINGLE} or "
            f"{INDEX}; run `{command}` where verl is installed and name that folder, or set the "
            "run's 'merge'"
        )
    others = sorted(p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pth"})
    finding = f"found {others[0]}" if others else "found no weights"
    raise CheckpointError(
        f"{folder}: {finding}, expected {SINGLE} or {INDEX}; save the model as safetensors"
    )


def _weight_map(folder: Path) -> dict[str, str]:
    """Tensor to file, as a sharded model's index has it.

    Raises:
        CheckpointError: the index is not what it should be.
    """
    try:
        weight_map = json.loads((folder / INDEX).read_text())["weight_map"]
        return {str(name): str(file) for name, file in weight_map.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(
            f"{folder / INDEX}: found no 'weight_map' object in it, expected tensor names and "
            "files; copy it again"
        ) from None


def require_same_tensors(base: ModelIndex, other: ModelIndex) -> None:
    """Refuse a checkpoint whose tensor names or shapes are not those of its base.

    Raises:
        CheckpointError: names the first tensor that differs.
    """
    missing = [name for name in base.tensors if name not in other.tensors]
    extra = [name for name in other.tensors if name not in base.tensors]
    if missing or extra:
        lacks, name = ("lacks", missing[0]) if missing else ("has an extra", extra[0])
        raise CheckpointError(
            f"{other.folder}: {lacks} tensor {name}; expected the {len(base.tensors)} tensors of "
            f"{base.folder}, name the right base"
        )
    for name, info in base.tensors.items():
        shape = other.tensors[name].shape
        if shape != info.shape:
            raise CheckpointError(
                f"{other.folder}: {name} has shape {list(shape)}, expected {list(info.shape)} as "
                f"in {base.folder}; name the right base"
            )
