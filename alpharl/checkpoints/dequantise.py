"""A model of 8-bit codes with scales as a normal model folder, tensor by tensor.

W = code * scale in float32, of the two layouts that carry all that it takes:

    weight_scale_inv    one scale for each block of codes, 128 x 128 unless the config's
                        `weight_block_size` says otherwise: FP8 releases such as DeepSeek-V3
    weight_scale        one scale for each row, or for all: compressed-tensors, FP8 and int8
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from alpharl.checkpoints.finite import not_finite
from alpharl.checkpoints.header import TensorInfo
from alpharl.checkpoints.index import ModelIndex, read_config, read_stored
from alpharl.checkpoints.plain import BY_BLOCK, require_plain, scaled_codes
from alpharl.checkpoints.reader import count_not_finite
from alpharl.checkpoints.writer import ModelWriter
from alpharl.errors import CheckpointError

_BLOCK = (128, 128)


def dequantise(folder: Path, out: Path, replace: bool = False) -> None:
    """Write a quantised model as a folder of plain weights, the dequantised ones in float32.

    Args:
        folder: of the quantised model.
        out: the model folder.
        replace: put it in place of a model folder that stands there, once it is whole.

    Raises:
        CheckpointError: `out` exists; or the model is in another layout, not quantised at all, or
            not finite.
    """
    stored, config = read_stored(folder), read_config(folder)
    scales = scaled_codes(stored.tensors)
    if not scales:
        raise CheckpointError(
            f"{folder}: found no 8-bit weights with scales, expected a quantised model; name the "
            "folder itself where its weights are read"
        )
    plain = _plain(stored.tensors, scales)
    require_plain(folder, plain, config)
    with ExitStack() as stack:

        @cache
        def opened(file: str) -> Any:
            return stack.enter_context(safe_open(folder / file, framework="pt"))

        def read(name: str) -> Tensor:
            tensor: Tensor = opened(stored.tensors[name].file).get_tensor(name)
            return tensor

        writer = ModelWriter(
            out, ModelIndex(folder, plain), without="quantization_config", replace=replace
        )
        try:
            for name in plain:
                tensor = read(name)
                if name in scales:
                    scale = _spread(folder, scales[name], read(scales[name]), tensor.shape, config)
                    tensor = tensor.float().mul_(scale)
                bad = count_not_finite(tensor)
                if bad:
                    raise not_finite(folder, name, bad)
                writer.add(name, tensor)
            writer.finish()
        except BaseException:
            writer.discard()
            raise


def _plain(tensors: Mapping[str, TensorInfo], scales: Mapping[str, str]) -> dict[str, TensorInfo]:
    """The tensors of the model to write: without what stands next to a module's codes."""
    modules = {name.rpartition(".")[0] for name in scales}

    def is_next_to_codes(name: str) -> bool:
        module, _, last = name.rpartition(".")
        return module in modules and "scale" in last

    return {
        name: replace(info, dtype="F32") if name in scales else info
        for name, info in tensors.items()
        if not is_next_to_codes(name)
    }


def _spread(
    folder: Path, name: str, scale: Tensor, shape: torch.Size, config: Mapping[str, Any]
) -> Tensor:
    """The scale of each code (m, n), or one of all.

    Raises:
        CheckpointError: there are not as many scales as blocks, or rows.
    """
    scale = scale.float()
    if scale.numel() == 1:
        return scale.view(())
    block = _block(config) if name.endswith(BY_BLOCK) else (1, shape[-1])
    if len(shape) == 2:
        counts = [math.ceil(length / size) for length, size in zip(shape, block, strict=True)]
        if list(scale.shape) == counts or (block[0] == 1 and scale.numel() == shape[0]):
            rows = scale.view(counts).repeat_interleave(block[0], 0)[: shape[0]]
            return rows.repeat_interleave(block[1], 1)[:, : shape[1]]
    raise CheckpointError(
        f"{folder}: {name} has shape {list(scale.shape)}, expected a scale for each block of "
        f"{list(block)} of {list(shape)} codes; name the model that it was quantised from"
    )


def _block(config: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and columns of a block."""
    match config.get("quantization_config"):
        case {"weight_block_size": [int(rows), int(columns)]} if min(rows, columns) > 0:
            return rows, columns
    return _BLOCK
