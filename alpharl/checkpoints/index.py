"""Where each tensor of a model folder lies, from the headers of its files alone. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpharl.checkpoints.config_file import raw_config, text_config
from alpharl.checkpoints.foreign import foreign_at
from alpharl.checkpoints.header import TensorInfo, read_header, unique_json
from alpharl.checkpoints.lora_names import has_low_rank
from alpharl.checkpoints.plain import require_plain
from alpharl.errors import CheckpointError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".npz"}
"""Files that may hold weights, by their suffix."""


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
        CheckpointError: as `read_stored`, a tensor is no plain weight, or there is LoRA in it.
    """
    tensors, config = read_stored(folder).tensors, read_config(folder)
    _require_no_adapter(folder, tensors)
    require_plain(folder, tensors, config)
    return ModelIndex(folder, _without_tied_head(tensors, config))


def read_stored(folder: Path) -> ModelIndex:
    """Index all tensors of a model folder, whatever they stand for.

    Raises:
        CheckpointError: no folder, no safetensors weights, a broken header, or files that are not
            as the folder's own index says.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such checkpoint folder; check the path and the step")
    if (folder / SINGLE).is_file():
        tensors = {info.name: info for info in read_header(folder / SINGLE)}
    elif (folder / INDEX).is_file():
        tensors = _sharded(folder)
    else:
        raise _without_weights(folder)
    if not tensors:
        raise CheckpointError(f"{folder}: found no tensor in its files; copy the model again")
    return ModelIndex(folder, tensors)


def _require_no_adapter(folder: Path, tensors: dict[str, TensorInfo]) -> None:
    """Refuse a model that is not its weights alone."""
    low_rank = has_low_rank(tensors)
    if low_rank:
        raise CheckpointError(
            f"{folder}: holds {low_rank}, LoRA that is not merged and whose scale no file tells, "
            "expected a model or an adapter; save what PEFT's merge_and_unload gives, or the "
            f"adapter alone with its {ADAPTER_CONFIG}"
        )
    if (folder / "lora_adapter" / ADAPTER).is_file():
        raise CheckpointError(
            f"{folder}: found an adapter in lora_adapter/ below a whole model, expected one of "
            "them: verl's merger leaves the base's weights as they are; name lora_adapter as the "
            "checkpoint, or move it away if the model is merged"
        )
    if (folder / ADAPTER_CONFIG).is_file():
        raise CheckpointError(
            f"{folder}: found {ADAPTER_CONFIG} next to a whole model, expected one of them: "
            "transformers would put the adapter on that model; move one to a folder of its own"
        )


def read_config(folder: Path) -> dict[str, Any]:
    """The model's `config.json`; empty where there is none.

    What a multimodal model says of its language model stands at the top too.

    Raises:
        CheckpointError: as `raw_config`.
    """
    return text_config(raw_config(folder))


def _without_tied_head(
    tensors: dict[str, TensorInfo], config: dict[str, Any]
) -> dict[str, TensorInfo]:
    """Some trainers save a tied head beside the embedding that it is; loaders ignore it."""
    if HEAD in tensors and EMBEDDING in tensors and config.get("tie_word_embeddings"):
        return {name: info for name, info in tensors.items() if name != HEAD}
    return tensors


def _without_weights(folder: Path) -> CheckpointError:
    """What a folder holds that has no safetensors model."""
    if (folder / ADAPTER).is_file():
        return CheckpointError(
            f"{folder}: found a LoRA adapter alone, expected {SINGLE} or {INDEX}; name its "
            "base beside it, or merge it and save the whole model"
        )
    foreign = foreign_at(folder)
    if foreign:
        return CheckpointError(
            f"{folder}: found {foreign.what}, expected {SINGLE} or {INDEX}; {foreign.advice}"
        )
    others = sorted(path.name for path in folder.iterdir() if path.suffix in _WEIGHTS)
    finding = f"found {others[0]}" if others else "found no weights"
    return CheckpointError(
        f"{folder}: {finding}, expected {SINGLE} or {INDEX}; save the model as safetensors"
    )


def _sharded(folder: Path) -> dict[str, TensorInfo]:
    """The tensors of a model in several files, each of them in the file that the index names.

    transformers would load what a file holds beyond its index, and of a tensor in two files the
    last one: such a model is not what its index says.
    """
    weight_map, tensors = _weight_map(folder), dict[str, TensorInfo]()
    for file in sorted(set(weight_map.values())):
        for info in read_header(_shard(folder, file)):
            named = weight_map.get(info.name)
            if named != file:
                where = f"places in {named}" if named else "does not name"
                raise CheckpointError(
                    f"{folder}: {file} holds {info.name}, which {INDEX} {where}; expected each "
                    "tensor once, in the file that the index names: copy or save the model again"
                )
            tensors[info.name] = info
    lacking = [name for name in weight_map if name not in tensors]
    if lacking:
        raise CheckpointError(
            f"{folder}: {INDEX} names {lacking[0]}, which is not in {weight_map[lacking[0]]}; "
            "copy the model again"
        )
    return tensors


def _shard(folder: Path, file: str) -> Path:
    """A file that an index names, which lies in the same folder."""
    path = folder / file
    if Path(file).name != file or path.suffix != ".safetensors":
        raise CheckpointError(
            f"{folder / INDEX}: names the file {file!r}, expected the name of a safetensors file "
            "next to it; do not use this model, or copy it again"
        )
    if not path.is_file():
        raise CheckpointError(f"{path}: named in {INDEX} but missing; copy it again")
    home, target = folder.resolve(), path.resolve()
    blobs = [parent.parent / "blobs" for parent in home.parents if parent.name == "snapshots"]
    if target.parent not in (home, *blobs):  # the Hub's cache links its snapshots to its blobs
        raise CheckpointError(
            f"{path}: is a link to {target}, expected a file in its own folder; copy it there, or "
            "name the folder that holds the model"
        )
    return path


def _weight_map(folder: Path) -> dict[str, str]:
    """Tensor to file, as a sharded model's index has it.

    Raises:
        CheckpointError: the index is not what it should be.
    """
    path = folder / INDEX
    try:
        weight_map = unique_json(path.read_text(encoding="utf-8"))["weight_map"]
        if not all(isinstance(file, str) for file in weight_map.values()):
            raise TypeError("a file's name is no text")
        return dict(weight_map)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: found no 'weight_map' of tensor names and files in it ({_brief(error)}); "
            "copy it again"
        ) from None


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


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
