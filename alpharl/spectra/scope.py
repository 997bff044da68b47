"""Which tensors take part, and how they are divided into shards. Torch-free."""

from __future__ import annotations

import re
from typing import Literal

from alpharl.checkpoints.index import ModelIndex
from alpharl.errors import CheckpointError

Scope = Literal["paper", "all"]
_PAPER = re.compile(
    r"(?:^|\.)layers\.\d+\.(?:self_attn\.(?:q|k|v|o)_proj|mlp\.(?:gate|up|down)_proj)\.weight$"
)


def in_paper_scope(name: str) -> bool:
    """Whether a tensor is a q, k, v, o, gate, up or down projection of a decoder layer."""
    return _PAPER.search(name) is not None


def matrices(index: ModelIndex, scope: Scope) -> list[str]:
    """Names of the 2-D tensors in scope, in file order.

    Raises:
        CheckpointError: the model has none.
    """
    flat = [name for name, info in index.tensors.items() if len(info.shape) == 2]
    found = flat if scope == "all" else [name for name in flat if in_paper_scope(name)]
    if not found:
        raise CheckpointError(
            f"{index.folder}: no matrix in scope '{scope}' among {len(index.tensors)} tensors; "
            "expected names like model.layers.0.self_attn.q_proj.weight, or use scope 'all'"
        )
    return found


def shard(index: ModelIndex, names: list[str], part: int, parts: int) -> list[str]:
    """The `part`-th of `parts` runs of consecutive tensors with about equal bytes.

    Every tensor falls into exactly one part; a part may be empty when there are few tensors.
    """
    sizes = [index.tensors[name].nbytes for name in names]
    total, before, chosen = sum(sizes), 0, []
    for name, size in zip(names, sizes, strict=True):
        # The tensor's middle byte decides, so that a big tensor goes where most of it lies.
        if int((before + size / 2) * parts / total) == part:
            chosen.append(name)
        before += size
    return chosen


def layer_of(name: str) -> int:
    """Number of the decoder layer in a tensor's name, -1 if there is none."""
    found = re.search(r"layers\.(\d+)\.", name)
    return int(found.group(1)) if found else -1


def module_of(name: str) -> str:
    """The tensor's module: `q_proj` of `model.layers.0.self_attn.q_proj.weight`."""
    parts = name.removesuffix(".weight").removesuffix(".bias").split(".")
    return parts[-1]
