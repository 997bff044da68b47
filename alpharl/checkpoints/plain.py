"""Tensors that are weights as they stand, and those that are codes for weights. Torch-free.

Quantised models keep integers or 8-bit floats next to scales: block FP8 (`weight_scale_inv`),
compressed-tensors (`weight_scale`, `weight_packed`), GPTQ and AWQ (`qweight`, `scales`),
bitsandbytes (`weight` in U8, `SCB`), MXFP4 (`_blocks`, `_scales`). Differences of such codes say
nothing about the weights.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from alpharl.checkpoints.header import TensorInfo
from alpharl.errors import CheckpointError

FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
"""Dtypes whose stored values are the weights themselves, once converted to float32."""
_CODES = ("F8_E4M3", "F8_E5M2", "I8")
_COUNTS = ("I64", "I32", "I16", "I8", "U8", "BOOL")
"""Dtypes that a buffer may have: a counter, positions, a mask."""
_MASK = re.compile(
    r"(?:^|\.)(?:(?:attn|attention)\.(?:masked_)?bias|causal_mask|position_ids|token_type_ids)$"
)
"""Buffers of several dimensions, as GPT-2, GPT-NeoX, CodeGen, CLIP and BERT saved them."""
BY_BLOCK, _BY_ROW = "_scale_inv", "_scale"
"""Ends of a tensor's name where each block of codes has a scale, and where each row has one."""


def require_plain(
    folder: Path, tensors: Mapping[str, TensorInfo], config: Mapping[str, Any]
) -> None:
    """Refuse a model or an adapter whose parameters are no plain floating point numbers.

    Integers are allowed in buffers: a counter, or a mask that is known by its name.

    Args:
        folder: for the message.
        tensors: of the model or the adapter, by name.
        config: the model's `config.json`.

    Raises:
        CheckpointError: names the first such tensor, or one without elements.
    """
    scales, method = _scales_by_module(tensors), _quantization(config)
    for name, info in tensors.items():
        if info.size == 0:
            raise CheckpointError(
                f"{folder}: {name} has shape {list(info.shape)}, expected at least one element; "
                "its weights were not gathered when it was saved, as by DeepSpeed ZeRO-3: save it "
                "again, or gather them with the `zero_to_fp32.py` next to it"
            )
        near = _nearest(name, scales)
        if info.dtype in FLOATS and not (info.dtype.startswith("F8_") and (near or method)):
            continue
        if info.dtype not in _COUNTS or not _is_buffer(info):
            words = _words(folder, near, method, name in scaled_codes(tensors))
            raise CheckpointError(f"{folder}: {name} is {info.dtype}{words}")


def scaled_codes(tensors: Mapping[str, TensorInfo]) -> dict[str, str]:
    """The scales of each tensor of 8-bit codes that nothing but scales turns into weights."""
    scales = {}
    for name, info in tensors.items():
        ends = [end for end in (BY_BLOCK, _BY_ROW) if f"{name}{end}" in tensors]
        shifted = f"{name}_zero_point" in tensors or f"{name}_g_idx" in tensors
        if info.dtype in _CODES and ends and not shifted:
            scales[name] = f"{name}{ends[0]}"
    return scales


def _words(folder: Path, scales: str | None, method: str | None, simple: bool) -> str:
    """What else an error says of a tensor: how it is quantised, and what to do."""
    if not scales and not method:
        return f", expected one of {', '.join(FLOATS)}; convert the model first"
    where = f"with scales in {scales}" if scales else f"of a model quantised by '{method}'"
    advice = "name the model that it was quantised from, or dequantise it first"
    if simple:
        advice = f"dequantise it: run `alpharl unpack {folder} --out OUT` and name the folder OUT"
    return f" {where}, expected plain weights: its codes alone are not the weights; {advice}"


def _is_buffer(info: TensorInfo) -> bool:
    """Whether a tensor of integers is one that no training changes by gradients."""
    parameter = info.name.rpartition(".")[2] in ("weight", "bias") or len(info.shape) > 1
    return not parameter or _MASK.search(info.name) is not None


def _scales_by_module(tensors: Mapping[str, TensorInfo]) -> dict[str, list[str]]:
    modules = defaultdict(list)
    for name in tensors:
        module, _, last = name.rpartition(".")
        if "scale" in last:
            modules[module].append(name)
    return modules


def _nearest(name: str, scales: Mapping[str, list[str]]) -> str | None:
    """The scales of a tensor: of those of its module, the one whose name is most like it."""
    near = [*scales.get(name, []), *scales.get(name.rpartition(".")[0], [])]
    others = [other for other in near if other != name]
    return max(others, key=lambda other: _shared(name, other), default=None)


def _shared(one: str, other: str) -> int:
    """Number of characters that two names begin with in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _quantization(config: Mapping[str, Any]) -> str | None:
    """The method by which a model says that it is quantised."""
    described = config.get("quantization_config")
    return str(described.get("quant_method")) if isinstance(described, dict) else None
