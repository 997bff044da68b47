"""LoRA checkpoints over a base, indexed as the model that they stand for. Torch-free.

PEFT keeps A (r, n) and B (m, r) of each matrix W (m, n). The model has W + scale B A, with
scale = alpha / r, or alpha / sqrt(r) with rsLoRA (https://arxiv.org/abs/2312.03732). Names and
options are those of PEFT 0.21. Nothing is merged on disk: a reader merges what it is asked for.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alpharl.checkpoints.configs import changes
from alpharl.checkpoints.header import TensorInfo, read_header
from alpharl.checkpoints.index import (
    ADAPTER,
    ADAPTER_CONFIG,
    EMBEDDING,
    HEAD,
    INDEX,
    SINGLE,
    ModelIndex,
    read_index,
)
from alpharl.checkpoints.plain import require_plain
from alpharl.checkpoints.vocabulary import fitted
from alpharl.errors import CheckpointError

_PREFIX = "base_model.model."
_LOW_RANK = re.compile(r"(.+)\.lora_(embedding_)?([AB])(?:\.weight)?")
_READ = {"peft_type", "bias", "lora_alpha", "use_rslora", "alpha_pattern", "fan_in_fan_out",
         "init_lora_weights"}  # fmt: skip
_INERT = {
    "auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "eva_config",
    "exclude_modules", "inference_mode", "layers_pattern", "layers_to_transform", "loftq_config",
    "lora_dropout", "megatron_core", "modules_to_save", "parent_library", "peft_version",
    "qalora_group_size", "r", "rank_pattern", "revision", "runtime_config", "target_modules",
    "task_type",
}  # fmt: skip
"""Options that do not change what the stored tensors mean; ranks are the tensors' own."""
_KEEPS_BASE = (True, False, None, "gaussian", "eva", "orthogonal")
"""Initialisations that leave the base as it is; PiSSA, OLoRA, CorDA and others change it."""


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
    """Index a model folder in the shapes of its base, or a LoRA adapter together with its base.

    Raises:
        CheckpointError: no folder, no weights, a broken header, a config of another model, or an
            adapter that is no plain LoRA of this base.
    """
    if base is None:
        return read_index(folder)
    if not is_adapter(folder):
        changes(base, folder)  # refuses a config of another model
        return fitted(read_index(folder), read_index(base))
    config, origin = _read_config(folder), read_index(base)
    absolute = base.absolute()
    # Absolute names, since the base's files lie in another folder than the adapter's.
    tensors = {
        name: replace(info, file=str(absolute / info.file)) for name, info in origin.tensors.items()
    }
    infos = {info.name: info for info in read_header(folder / ADAPTER)}
    require_plain(folder, infos, {})
    pairs, transposed = _take(folder, infos, tensors, base)
    updates = {
        name: _update(folder, tensors[name], *pair, config, name in transposed)
        for name, pair in pairs.items()
    }
    changed = set(updates) | {name for name, info in tensors.items() if info.file == ADAPTER}
    if EMBEDDING in changed and HEAD not in tensors:
        raise CheckpointError(
            f"{folder}: changes {EMBEDDING}, expected it unchanged: the base's output head is tied "
            "to it, and may or may not follow; merge it with PEFT and save the whole model"
        )
    merged = {name: replace(tensors[name], dtype="F32") for name in updates}
    patterns = any(config.get(key) for key in ("rank_pattern", "alpha_pattern", "fan_in_fan_out"))
    plain = not patterns and not transposed and changed == set(updates)
    size = sum(info.nbytes for info in infos.values())
    return MergedIndex(folder, tensors | merged, updates, size, plain)


def _take(
    folder: Path, infos: dict[str, TensorInfo], tensors: dict[str, TensorInfo], base: Path
) -> tuple[dict[str, tuple[TensorInfo, TensorInfo]], set[str]]:
    """Pairs (A, B) by the base's tensor, and which are an embedding's.

    Tensors that the adapter holds as a whole take the place of the base's in `tensors`.
    """
    halves: dict[str, dict[str, TensorInfo]] = {}
    embeddings = set()
    for key, info in infos.items():
        match = _LOW_RANK.fullmatch(key.removeprefix(_PREFIX))
        whole = key.removeprefix(_PREFIX).replace(".base_layer.", ".")
        name = f"{match[1]}.weight" if match else whole
        if name not in tensors:
            raise CheckpointError(
                f"{folder}: holds {key}, expected tensors of LoRA on {base}, which has no {name}; "
                "name the right base, or merge the adapter with PEFT and save the whole model"
            )
        if match:
            halves.setdefault(name, {})[match[3]] = info
            embeddings |= {name} if match[2] else set()
        elif info.shape == tensors[name].shape:
            tensors[name] = replace(info, name=name)
        else:
            raise CheckpointError(_other_shape(folder, name, info.shape, tensors[name].shape))
    for name, half in halves.items():
        if len(half) != 2:
            raise CheckpointError(
                f"{folder}: lacks A or B of {name}, expected both; copy the adapter again"
            )
    return {name: (half["A"], half["B"]) for name, half in halves.items()}, embeddings


def _update(
    folder: Path, origin: TensorInfo, a: TensorInfo, b: TensorInfo, config: dict[str, Any],
    embedding: bool,
) -> LowRankUpdate:  # fmt: skip
    transposed = embedding or bool(config.get("fan_in_fan_out"))
    shape = (b.shape[0], a.shape[-1])
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[1]:
        raise CheckpointError(
            f"{folder}: A and B of {origin.name} have shapes {list(a.shape)} and {list(b.shape)}, "
            "expected matrices (r, n) and (m, r); merge the adapter with PEFT"
        )
    if (shape[::-1] if transposed else shape) != origin.shape:
        raise CheckpointError(_other_shape(folder, origin.name, shape, origin.shape))
    rank = a.shape[0]
    root = rank**0.5 if config.get("use_rslora") else rank
    return LowRankUpdate(origin, a, b, _alpha(folder, config, origin.name) / root, transposed)


def _other_shape(folder: Path, name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    return (
        f"{folder}: {name} becomes {list(shape)}, expected the base's shape {list(expected)}; "
        "name the right base"
    )


def _alpha(folder: Path, config: dict[str, Any], name: str) -> float:
    """Alpha of a module: the first pattern that its name ends in, as PEFT reads them."""
    module, patterns = name.removesuffix(".weight"), config.get("alpha_pattern") or {}
    try:
        alphas = [
            alpha
            for pattern, alpha in patterns.items()
            if re.match(rf"(.*\.)?({pattern})$", module)
        ]
        return float(alphas[0] if alphas else config["lora_alpha"])
    except (re.error, KeyError, TypeError, ValueError, AttributeError):
        raise CheckpointError(
            f"{folder / ADAPTER_CONFIG}: found no alpha for {module}, expected 'lora_alpha' or a "
            "valid 'alpha_pattern'; copy it again"
        ) from None


def _read_config(folder: Path) -> dict[str, Any]:
    """The adapter's config, once it is known to be a plain LoRA's.

    Raises:
        CheckpointError: there is none, or one of its options changes what the tensors mean.
    """
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text())
        options = {str(key): value for key, value in config.items()}
    except (OSError, ValueError, AttributeError):
        raise CheckpointError(
            f"{folder}: found no {ADAPTER_CONFIG} that can be read, expected it beside {ADAPTER}; "
            "copy it again"
        ) from None
    strange = [key for key, value in options.items() if value and key not in _READ | _INERT]
    strange += ["peft_type"] if options.get("peft_type") != "LORA" else []
    strange += ["bias"] if options.get("bias", "none") != "none" else []
    strange += ["init_lora_weights"] if _moves_base(options) else []
    if strange:
        key = strange[0]
        raise CheckpointError(
            f"{folder}: found an adapter with {key} {json.dumps(options.get(key))[:80]}, expected "
            "plain LoRA; merge it with PEFT and save the whole model"
        )
    return options


def _moves_base(options: dict[str, Any]) -> bool:
    return options.get("init_lora_weights", True) not in _KEEPS_BASE
