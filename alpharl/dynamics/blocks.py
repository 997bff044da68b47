"""A block of a matrix whose weights walk at random, as it is and seen through bfloat16 storage.

What bf16 does to an update depends on the weights below it and on the size of the steps, entry by
entry. So a few thousand entries of the base stand for the matrix: a block of random rows and
columns, in the matrix's proportions, that keeps their scales. Each entry makes independent Gaussian
steps of the trajectory's own root mean square. bfloat16 keeps 8 significant bits: most of these
steps may vanish and the others jump by a whole gap (see `alpharl.measures.floor` for one update).

The first vectors of a small block turn less than those of the whole matrix, whose singular values
lie closer together. So these nulls are harder to beat than the whole matrix's would be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alpharl.spectra.scope import Matrix, matrices

if TYPE_CHECKING:
    from alpharl.checkpoints.reader import ModelReader

SHORT = 24
"""Most entries of a block's shorter side, whose gram is solved for each draw and checkpoint."""
ENTRIES = 4096
"""Most entries of a block."""


@dataclass(frozen=True)
class Block:
    """Sampled weights of a base's matrix (r, c), float32, and the entries of the whole matrix."""

    weights: np.ndarray
    entries: int


@dataclass(frozen=True)
class Walks:
    """What B walks of a block look like: grams, and cosines between neighbouring first vectors."""

    grams: np.ndarray
    """(B, T, T) float64, of the block."""
    u: np.ndarray
    """(B, T-1) |cosine| of u1; 0 where an update is zero and has no first vector."""
    v: np.ndarray
    """(B, T-1) |cosine| of v1."""


def sample_blocks(base: Path, names: Iterable[str], seed: int) -> dict[str, Block]:
    """A block of each named matrix of a model folder. Reads the sampled rows only.

    Args:
        base: model folder of step 0.
        names: of matrices, as factors have them.
        seed: with the name, it fixes the sampled rows and columns.

    Raises:
        CheckpointError: a sampled weight is not finite.
    """
    # Torch only here: forecasts import this package and must start fast.
    from alpharl.checkpoints.reader import ModelReader

    with ModelReader(base) as reader:
        scope = matrices(reader.index, "all")
        return {name: _sample(reader, scope[name], seed) for name in names}


def _sample(reader: ModelReader, matrix: Matrix, seed: int) -> Block:
    from alpharl.checkpoints.reader import refuse_not_finite

    rng = np.random.default_rng(list(f"{seed}:{matrix.name}".encode()))
    height, width = block_shape(*matrix.shape)
    rows = np.sort(rng.choice(matrix.rows, height, replace=False))
    columns = np.sort(rng.choice(matrix.columns, width, replace=False))
    starts = [matrix.start + int(row) * matrix.columns for row in rows]
    read = [reader.part(matrix.tensor, start, (matrix.columns,)).float() for start in starts]
    weights = np.stack([row.numpy()[columns] for row in read])
    if not np.isfinite(weights).all():
        refuse_not_finite([reader], matrix.tensor)
    return Block(weights, matrix.size)


def block_shape(rows: int, columns: int) -> tuple[int, int]:
    """Shape of a block in the proportions of a matrix, within SHORT and ENTRIES."""
    short = min(rows, columns, SHORT)
    long = min(round(short * max(rows, columns) / min(rows, columns)), ENTRIES // short)
    return (short, long) if rows <= columns else (long, short)


def round_bf16(values: np.ndarray) -> np.ndarray:
    """Finite float32 values rounded to bfloat16, ties to even; float32 again."""
    bits = values.view(np.uint32)
    # Half of the last kept bit, less one where that bit is even and a tie must go down.
    rounded = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    return (rounded & np.uint32(0xFFFF0000)).view(np.float32)


def walk_block(block: Block, lengths: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Updates (draws, T, r, c), float32, of a block whose entries make Gaussian steps.

    Args:
        block: of the matrix; its weights are not used.
        lengths: (T,) step lengths of the whole matrix.
        draws: number of walks.
        seed: of their steps.
    """
    size = (lengths / block.entries**0.5).astype(np.float32)
    steps = _normal((draws, len(lengths), *block.weights.shape), seed)
    return np.cumsum(steps * size[:, None, None], axis=1)


@lru_cache(maxsize=4)
def _normal(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Standard normal numbers, one set for all blocks of a shape."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def stored(block: Block, walk_btrc: np.ndarray) -> np.ndarray:
    """The updates that are left when the base and every checkpoint are stored in bfloat16."""
    base = round_bf16(block.weights)
    updates: np.ndarray = round_bf16(base + walk_btrc) - base
    return updates


def look(updates_btrc: np.ndarray) -> Walks:
    """Grams of walking blocks, and how far their first vectors turn."""
    flat = updates_btrc.reshape(*updates_btrc.shape[:2], -1).astype(np.float64)
    u, v = first_vectors(updates_btrc)
    cosines = [np.abs(np.sum(x[:, 1:] * x[:, :-1], axis=-1)) for x in (u, v)]
    return Walks(flat @ flat.swapaxes(1, 2), *cosines)


def first_vectors(updates_btrc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First left (B, T, r) and right (B, T, c) singular vectors; zero for a zero update."""
    if updates_btrc.shape[2] > updates_btrc.shape[3]:
        v, u = first_vectors(updates_btrc.swapaxes(2, 3))
        return u, v
    # Scaled, so that the squares of tiny updates do not vanish.
    size = np.abs(updates_btrc).max(axis=(2, 3), keepdims=True)
    scaled = updates_btrc / np.where(size > 0, size, 1)
    u = np.linalg.eigh(scaled @ scaled.swapaxes(2, 3))[1][..., -1] * (size[..., 0] > 0)
    v = np.einsum("btr,btrc->btc", u, scaled)
    norms = np.linalg.norm(v, axis=-1, keepdims=True)
    return u, v / np.where(norms > 0, norms, 1)
