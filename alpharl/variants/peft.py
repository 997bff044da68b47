"""Low-rank updates as PEFT keeps them, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alpharl.checkpoints.adapter import read_model
from alpharl.checkpoints.index import ADAPTER, ModelIndex, read_config, read_index
from alpharl.checkpoints.lora_config import read_lora_config
from alpharl.checkpoints.lora_modules import BaseModules, is_embedding, shell_of
from alpharl.checkpoints.lora_names import PREFIX, parse
from alpharl.errors import CheckpointError
from alpharl.spectra.lowrank import LowRank, read_arrays
from alpharl.spectra.scope import shapes, split


def peft_adapter(
    base: Path, adapter: Mapping[str, LowRank]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Low-rank updates as the tensors and the config of a PEFT LoRA adapter, scaling 1, one rank.

    W + B A with B = u sqrt|s| (signed), A = sqrt|s| v^T; matrices of lower rank are padded with
    zeros. Parts of a fused projection become one update of it, of their summed rank.
    """
    index = read_index(base)
    shell = shell_of(index.tensors, [])
    adapter = {f"{shell}{name}": low for name, low in _join_parts(index, adapter).items()}
    modules = BaseModules({f"{shell}{name}": info for name, info in index.tensors.items()})
    rank = max(len(low.s) for low in adapter.values())
    tensors, transposed = {}, False
    for name, low in adapter.items():
        module, root = name.removesuffix(".weight"), np.sqrt(np.abs(low.s))
        pad = ((0, 0), (0, rank - len(low.s)))
        a_rn = np.pad(low.v * root, pad).T.astype(np.float32)
        b_mr = np.pad(low.u * (root * np.sign(low.s)), pad).astype(np.float32)
        other_way = is_embedding(module) or bool(modules.is_transposed(module))
        a, b = (b_mr.T, a_rn.T) if other_way else (a_rn, b_mr)
        transposed |= other_way and not is_embedding(module)
        kind, end = ("embedding_", "") if is_embedding(module) else ("", ".weight")
        tensors[f"{PREFIX}{module}.lora_{kind}A{end}"] = a
        tensors[f"{PREFIX}{module}.lora_{kind}B{end}"] = b
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "inference_mode": True,
        "base_model_name_or_path": str(base), "r": rank, "lora_alpha": rank, "lora_dropout": 0.0,
        "bias": "none", "target_modules": _target_modules(adapter, modules),
        "fan_in_fan_out": transposed,
    }  # fmt: skip
    return tensors, config


def _target_modules(adapter: Mapping[str, LowRank], modules: BaseModules) -> list[str]:
    """The last parts of the modules' names, where they name no other module; else whole names."""
    names = {name.removesuffix(".weight") for name in adapter}
    ends = {name.rpartition(".")[2] for name in names}
    ended = {name for name in modules.names if name.rpartition(".")[2] in ends}
    return sorted(ends if ended <= names else names)


def _join_parts(index: ModelIndex, adapter: Mapping[str, LowRank]) -> dict[str, LowRank]:
    """The adapter by stored matrix: parts of a fused one keep their rows, and add their ranks."""
    config = read_config(index.folder)
    flat = [info for info in index.tensors.values() if len(info.shape) == 2]
    owner = {part.name: part for info in flat for part in split(info, config)}
    joined: dict[str, LowRank] = {}
    for name, low in adapter.items():
        part = owner.get(name)
        if part is None or part.name == part.tensor:
            joined[name] = low
            continue
        u = np.zeros((index.tensors[part.tensor].shape[0], len(low.s)))
        first = part.start // part.columns
        u[first : first + part.rows] = low.u
        earlier = joined.get(part.tensor, LowRank(u[:, :0], low.s[:0], low.v[:, :0]))
        joined[part.tensor] = LowRank(
            np.hstack([earlier.u, u]), np.append(earlier.s, low.s), np.hstack([earlier.v, low.v])
        )
    return joined


def loads(adapter: Path, base: Path) -> bool:
    """Whether PEFT can put an adapter on its base.

    It cannot put one on an expert that is stacked with others, or on an embedding that a head is
    tied to: such an adapter can only be built into a model.
    """
    try:
        read_model(adapter, base)
    except CheckpointError:
        return False
    return True


def pairs(adapter: Path, base: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Per matrix name, B (m, r) and A (r, n) of an adapter's folder, B with PEFT's scaling.

    Raises:
        CheckpointError: the config is no plain LoRA's, or a tensor is no half of an update of the
            base.
    """
    config = read_lora_config(adapter)
    index = read_index(base)
    tensors = index.tensors
    shell, modules = shell_of(tensors, []), BaseModules(tensors)
    halves: dict[str, dict[str, np.ndarray]] = {}
    embeddings = set()
    for key, array in read_arrays(adapter / ADAPTER).items():
        stored = parse(key)
        if not stored or not stored.half:
            raise CheckpointError(
                f"{adapter}: found a tensor {key}, expected A and B of LoRA alone"
            )
        halves.setdefault(stored.tensor, {})[stored.half] = array
        embeddings |= {stored.tensor} if stored.embedding else set()
    by_name, expected = {}, {name: info.shape for name, info in tensors.items()} | shapes(index)
    for tensor, half in halves.items():
        scale, name = config.scale_of(tensor.removesuffix(".weight")), tensor.removeprefix(shell)
        if half.keys() != {"A", "B"}:
            raise CheckpointError(
                f"{adapter}: found one half of the update of {name}, expected two"
            )
        # As PEFT loads them, whatever they are stored in.
        a, b = (half[name].astype(np.float32) for name in "AB")
        b = b * np.float32(scale)
        transposed = config.fan_in_fan_out and modules.is_transposed(name.removesuffix(".weight"))
        b, a = (a.T, b.T) if transposed or tensor in embeddings else (b, a)
        fits = a.ndim == b.ndim == 2 and b.shape[1] == a.shape[0]
        if not fits or (len(b), a.shape[1]) != expected.get(name):
            raise CheckpointError(
                f"{adapter}: found B {b.shape} and A {a.shape} for {name}, expected an update of "
                f"{expected.get(name, 'a tensor of the base')}"
            )
        by_name[name] = b, a
    return by_name
