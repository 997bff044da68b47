"""Checkpoints with more or fewer rows of tokens than their base. Torch-free.

Trainers add tokens, pad the embedding to a multiple of 64, or cut such padding off. The rows that
both models have are compared. A checkpoint is read in its base's shapes for that: rows that the
base lacks are left out, and rows that the checkpoint lacks are the base's, so that they do not
move. A model that is built of such a run has the rows of its base.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from alpharl.checkpoints.config_file import raw_config, text_config
from alpharl.checkpoints.header import TensorInfo
from alpharl.checkpoints.index import ModelIndex, read_config
from alpharl.errors import CheckpointError


@dataclass(frozen=True)
class ResizedIndex(ModelIndex):
    """A model in the shapes of its base; the tensors that it has with other rows say so."""

    rows: int
    """Rows of tokens that the model itself has."""
    shared: int
    """Rows that the base has too."""
    completed: dict[str, tuple[TensorInfo, TensorInfo]]
    """Tensors that lack rows of the base: as this model has them, and the base's, whose file is an
    absolute path. They are float32 here."""


def fitted(index: ModelIndex, base: ModelIndex) -> ModelIndex:
    """A checkpoint's index in its base's shapes, if only its rows of tokens are others.

    Input embedding and output head are the matrices outside of layers that have as many rows as
    the base's config has tokens. Every other difference is left for who compares the tensors.

    Raises:
        CheckpointError: the checkpoint's own config has another number of tokens than its tensors.
    """
    tokens = read_config(base.folder).get("vocab_size")
    wide = [info for info in base.tensors.values() if _is_of_tokens(info, base, tokens)]
    pairs = [(info, index.tensors[info.name]) for info in wide if info.name in index.tensors]
    rows = {own.shape[0] for info, own in pairs if own.shape[1:] == info.shape[1:] and own.shape}
    if len(rows) != 1 or any(own.shape[1:] != info.shape[1:] for info, own in pairs):
        return index
    (count,) = rows
    _require_config(index, count, pairs[0][1].name)
    return index if count == tokens else _resized(index, base, pairs, count)


def _is_of_tokens(info: TensorInfo, base: ModelIndex, tokens: object) -> bool:
    """Whether this is a matrix with a row for each token, or the bias of one."""
    if len(info.shape) == 1:
        matrix = base.tensors.get(f"{info.name.removesuffix('bias')}weight")
        return matrix is not None and matrix != info and _is_of_tokens(matrix, base, tokens)
    in_stack = re.search(r"\.\d+\.", info.name) is not None
    return len(info.shape) == 2 and info.shape[0] == tokens and not in_stack


def _require_config(index: ModelIndex, rows: int, name: str) -> None:
    described = text_config(raw_config(index.folder)).get("vocab_size", rows)
    if described != rows:
        raise CheckpointError(
            f"{index.folder}: found vocab_size {described!r} in its config.json, expected {rows}, "
            f"the rows of {name}; correct it, or save the model again"
        )


def _resized(
    index: ModelIndex, base: ModelIndex, pairs: list[tuple[TensorInfo, TensorInfo]], rows: int
) -> ResizedIndex:
    tensors, completed, shared = dict(index.tensors), {}, rows
    for info, own in pairs:
        shared = min(rows, info.shape[0])
        whole = own.nbytes // rows * info.shape[0]
        tensors[own.name] = replace(own, shape=info.shape, stop=own.start + whole)
        if rows < info.shape[0]:
            file = str(base.folder.absolute() / info.file)
            completed[own.name] = (own, replace(info, file=file))
            tensors[own.name] = replace(tensors[own.name], dtype="F32")
    return ResizedIndex(index.folder, tensors, rows, shared, completed, tied=index.tied)
