"""Where each tensor of a model folder lies, from the headers of its files alone. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from alpharl.checkpoints.buffers import is_computed
from alpharl.checkpoints.config_file import CONFIG, raw_config, text_config
from alpharl.checkpoints.foreign import foreign_at
from alpharl.checkpoints.header import TensorInfo, read_header, unique_json
from alpharl.checkpoints.lora_names import has_low_rank
from alpharl.checkpoints.plain import require_plain
from alpharl.checkpoints.tied import Pair, tied_pair
from alpharl.checkpoints.wrappers import unwrapped
from alpharl.errors import CheckpointError
from alpharl.failures import pass_on

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
    tied: Pair | None = field(default=None, kw_only=True)
    """A head that is stored but not among the tensors, and the embedding that it has to equal."""

    @property
    def files(self) -> list[str]:
        """Names of the weight files, in order."""
        return list(dict.fromkeys(info.file for info in self.tensors.values()))


def read_index(folder: Path, base: Path | None = None) -> ModelIndex:
    """Index a Hugging Face model folder, single-file or sharded: its weights, by their bare names.

    Wrappers' parts of names, buffers that loaders compute and a tied head next to its embedding
    are left out. See `buffers`, `wrappers`, `tied`.

    Args:
        folder: of the model.
        base: model folder whose config holds where the folder has none.

    Raises:
        CheckpointError: as `read_stored`, a tensor is no plain weight, or there is LoRA in it.
    """
    stored, described = read_stored(folder).tensors, with_config(folder, base)
    _require_no_adapter(folder, stored)
    require_plain(folder, stored, read_config(described))
    tensors = {n: replace(stored[key], name=n) for key, n in unwrapped(stored).items()}
    tied = tied_pair(tensors, raw_config(described))
    head = tied[0].name if tied else None
    weights = {n: t for n, t in tensors.items() if n != head and not is_computed(t)}
    return ModelIndex(folder, weights, tied=tied)


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


def with_config(folder: Path, base: Path | None) -> Path:
    """The folder whose config holds for a model: its base's, where a folder is weights alone."""
    return folder if base is None or (folder / CONFIG).is_file() else base


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
        pass_on(error)
        raise CheckpointError(
            f"{path}: found no 'weight_map' of tensor names and files in it ({_brief(error)}); "
            "copy it again"
        ) from None


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
