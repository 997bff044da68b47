"""Models as large as those of the papers, whose files hold headers and holes: they take no disk."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path

ITEM_BITS = {"F64": 64, "F32": 32, "BF16": 16, "F16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "I64": 64,
             "I8": 8, "F4": 4}  # fmt: skip
Shapes = Mapping[str, tuple[int, ...]]
HIDDEN, MLP, KV, LAYERS, VOCAB = 3584, 18944, 512, 28, 152064
"""Qwen2.5-7B: 28 query and 4 key/value heads of 128, head not tied."""


def qwen_7b() -> dict[str, tuple[int, ...]]:
    """Names and shapes of all 339 tensors."""
    block = {
        **{f"self_attn.{p}_proj.weight": (HIDDEN, HIDDEN) for p in "qo"},
        **{f"self_attn.{p}_proj.weight": (KV, HIDDEN) for p in "kv"},
        **{"self_attn.q_proj.bias": (HIDDEN,)},
        **{f"self_attn.{p}_proj.bias": (KV,) for p in "kv"},
        **{f"mlp.{p}_proj.weight": (MLP, HIDDEN) for p in ("gate", "up")},
        **{"mlp.down_proj.weight": (HIDDEN, MLP)},
        **{f"{p}_layernorm.weight": (HIDDEN,) for p in ("input", "post_attention")},
    }
    ends = {"model.embed_tokens.weight": (VOCAB, HIDDEN), "lm_head.weight": (VOCAB, HIDDEN)}
    layers = {f"model.layers.{i}.{n}": shape for i in range(LAYERS) for n, shape in block.items()}
    return {**ends, **layers, "model.norm.weight": (HIDDEN,)}


def header_file(path: Path, shapes: Shapes, dtype: Mapping[str, str] | str) -> None:
    """A safetensors file with a header and a hole as large as its tensors: it takes no disk."""
    header, at = {}, 0
    for name, shape in shapes.items():
        kind = dtype if isinstance(dtype, str) else dtype.get(name, "F32")
        size = prod(shape) * ITEM_BITS[kind] // 8
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, 8 + len(text) + at)


def header_model(
    folder: Path, shapes: Shapes, dtype: Mapping[str, str] | str = "BF16", files: int = 1
) -> Path:
    """A model folder of such files."""
    folder.mkdir(parents=True)
    if files == 1:
        header_file(folder / "model.safetensors", shapes, dtype)
        return folder
    weight_map, names = {}, list(shapes)
    for i in range(files):
        file, part = f"model-{i}.safetensors", names[i::files]
        header_file(folder / file, {name: shapes[name] for name in part}, dtype)
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder
