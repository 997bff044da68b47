"""Which matrices take part, where they lie, and how they are divided into shards. Torch-free.

A stored tensor is one matrix, or several that a model keeps together: fused projections and stacked
experts. Those are split here, and named as the models that keep them apart name them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any, Literal

from alpharl.checkpoints.header import TensorInfo
from alpharl.checkpoints.index import ModelIndex, read_config
from alpharl.errors import CheckpointError, MethodError

Scope = Literal["paper", "all"]
_LAYER = r"(?:^|\.)layers\.\d+\."
_MLP = r"(?:mlp|feed_forward|block_sparse_moe)\."
_EXPERT = r"(?:experts\.\d+\.|shared_experts?\.)?"
_PAPER = re.compile(
    _LAYER + r"(?:self_attn\.(?:q|k|v|o)_proj\.weight"
    rf"|{_MLP}{_EXPERT}(?:(?:gate|up|down|gate_up)_proj|w[123])\.weight)$"
)

_IN_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.\d+\.")
_ROUTER = re.compile(r"\.(?:gate|router|shared_expert_gate)(?:\.\w+)?\.weight$")
_OTHER_SENSES = re.compile(r"(?:^|[._])(?:vision|visual|image|audio|speech)")
"""Parts of multimodal models that are no language model."""


@dataclass(frozen=True)
class Matrix:
    """A matrix of the model: `rows` x `columns` consecutive elements of a stored tensor."""

    name: str
    tensor: str
    start: int
    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return self.rows, self.columns

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.rows * self.columns


def in_paper_scope(name: str) -> bool:
    """Whether a matrix is a q, k, v, o, gate, up or down projection of a decoder layer.

    An expert's are among them; a router is not.
    """
    return _PAPER.search(name) is not None


def matrices(index: ModelIndex, scope: Scope) -> dict[str, Matrix]:
    """The matrices in scope by name, in file order.

    Raises:
        CheckpointError: the model has none, a fused tensor that cannot be split, or attention or
            MLP matrices that scope `paper` would leave out.
    """
    every = _every(index)
    by_name = {m.name: m for m in every if scope == "all" or in_paper_scope(m.name)}
    if not by_name:
        raise CheckpointError(
            f"{index.folder}: no matrix in scope '{scope}' among {len(index.tensors)} tensors; "
            "expected names like model.layers.0.self_attn.q_proj.weight, or use scope 'all'"
        )
    unknown = [m.name for m in every if scope == "paper" and _is_unknown(m.name)]
    if unknown:
        raise CheckpointError(
            f"{index.folder}: scope 'paper' would leave out {unknown[0]} ({len(unknown)} such "
            f"matrices next to {len(by_name)} in scope); expected layers of q, k, v, o, gate, up "
            "and down projections: use `gram`, or `factors --scope all`, which take all matrices"
        )
    return by_name


def require_paper_scope(index: ModelIndex) -> None:
    """Refuse a model of which whatever knows scope `paper` alone would take a part for the whole.

    Raises:
        CheckpointError: as `matrices`.
    """
    matrices(index, "paper")


def paper_names(index: ModelIndex) -> list[str]:
    """Names of the matrices in scope `paper`, of any model; of some models none."""
    return [matrix.name for matrix in _every(index) if in_paper_scope(matrix.name)]


def shapes(index: ModelIndex) -> dict[str, tuple[int, int]]:
    """(rows, columns) of every matrix of a model by name, of any model."""
    return {matrix.name: matrix.shape for matrix in _every(index)}


def _every(index: ModelIndex) -> list[Matrix]:
    config = read_config(index.folder)
    return [matrix for info in index.tensors.values() for matrix in split(info, config)]


def _is_unknown(name: str) -> bool:
    """Whether a matrix is one of attention or MLP whose name scope `paper` does not know."""
    other = _ROUTER.search(name) or _OTHER_SENSES.search(name) or not name.endswith(".weight")
    return bool(_IN_LAYER.search(name)) and not other and not in_paper_scope(name)


def split(info: TensorInfo, config: dict[str, Any]) -> list[Matrix]:
    """The matrices that a stored tensor holds; none for a vector.

    Args:
        info: the tensor.
        config: the model's `config.json`, which has the sizes of fused attention projections.

    Raises:
        CheckpointError: a fused tensor's rows are not what the config says.
    """
    if len(info.shape) == 2:
        return list(_fused(info.name, info.name, 0, info.shape[0], info.shape[1], config))
    if len(info.shape) == 3 and ".experts." in info.name:
        return list(_experts(info, config))
    return []


def _experts(info: TensorInfo, config: dict[str, Any]) -> Iterator[Matrix]:
    """Experts stacked along the first axis, e.g. `mlp.experts.down_proj` (experts, m, n)."""
    count, rows, columns = info.shape
    before, _, module = info.name.removesuffix(".weight").rpartition(".experts.")
    # (experts, hidden, 2 intermediate), as Llama 4 and gpt-oss have it, mixes gate and up in each
    # row: such a matrix stays whole.
    fused = module == "gate_up_proj" and columns == config.get("hidden_size")
    for expert in range(count):
        name = f"{before}.experts.{expert}.{module}.weight"
        start = expert * rows * columns
        if fused:
            yield from _fused(name, info.name, start, rows, columns, config)
        else:
            yield Matrix(name, info.name, start, rows, columns)


def _fused(
    name: str, tensor: str, start: int, rows: int, columns: int, config: dict[str, Any]
) -> Iterator[Matrix]:
    """The parts of a projection whose parts lie below each other; else the matrix itself."""
    head, _, module = name.removesuffix(".weight").rpartition(".")
    parts = _parts(module, rows, config)
    if sum(parts.values()) != rows:
        raise CheckpointError(
            f"{tensor}: found {rows} rows, expected {sum(parts.values())} ({parts}) from "
            "config.json; this fused layout is not known, save the model with separate projections"
        )
    ends = accumulate(parts.values())
    for (part, height), end in zip(parts.items(), ends, strict=True):
        part_name = name if part == module else f"{head}.{part}.weight"
        yield Matrix(part_name, tensor, start + (end - height) * columns, height, columns)


def _parts(module: str, rows: int, config: dict[str, Any]) -> dict[str, int]:
    """Rows of each part of a module, in their order (as Phi-3 in transformers has them)."""
    if module == "gate_up_proj":
        return {"gate_proj": rows // 2, "up_proj": rows // 2}
    heads = config.get("num_attention_heads")
    if module != "qkv_proj" or not heads:
        return {module: rows}
    size = config.get("head_dim") or config.get("hidden_size", 0) // heads
    key = (config.get("num_key_value_heads") or heads) * size
    return {"q_proj": heads * size, "k_proj": key, "v_proj": key}


def require_part(part: int, parts: int) -> tuple[int, int]:
    """Refuse a part that is none.

    Raises:
        MethodError: found and expected.
    """
    if not 0 <= part < parts:
        raise MethodError(
            f"found shard {part} of {parts}, expected one from 0 to {parts - 1}; they are counted "
            "from 0"
        )
    return part, parts


def shard(items: Iterable[TensorInfo | Matrix], part: int, parts: int) -> list[str]:
    """Names of the `part`-th of `parts` runs of consecutive items with about equal sizes.

    Every item falls into exactly one part; a part may be empty when there are few.

    Raises:
        MethodError: there is no such part.
    """
    require_part(part, parts)
    sizes = {item.name: prod(item.shape) for item in items}
    total, before, chosen = sum(sizes.values()), 0, []
    for name, size in sizes.items():
        # The item's middle decides, so that a big one goes where most of it lies.
        if int((before + size / 2) * parts / total) == part:
            chosen.append(name)
        before += size
    return chosen


def layer_of(name: str) -> int:
    """Number of the decoder layer in a tensor's name, -1 if there is none."""
    match = re.search(r"layers\.(\d+)\.", name)
    return int(match.group(1)) if match else -1


def module_of(name: str) -> str:
    """The tensor's module: `q_proj` of `model.layers.0.self_attn.q_proj.weight`."""
    parts = name.removesuffix(".weight").removesuffix(".bias").split(".")
    return parts[-1]
