"""What a run's stages will read, hold and write, from the headers of its checkpoints alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alpharl.checkpoints.adapter import MergedIndex
from alpharl.checkpoints.fit import require_same_tensors
from alpharl.checkpoints.index import ModelIndex
from alpharl.checkpoints.tied import head_of
from alpharl.spectra.depth import Depth
from alpharl.spectra.scope import Matrix, Scope, layer_of, matrices

_WORKSPACE = 64 << 20
_BASIS = 320
"""Columns of a Krylov basis on a hard matrix; easy ones end below 100."""
_FLOAT32 = 4


@dataclass(frozen=True)
class RunSize:
    """Figures of one run. Sizes are in bytes and leave out the files' own headers."""

    tensors: int
    parameters: int
    dtypes: str
    files: int
    tied: bool
    """No tensor of its own for the output head."""
    checkpoint: int
    factors_read: int
    """By the factor stage over all checkpoints: base and checkpoint, matrices in scope."""
    gram_read: int
    """By the gram stage: every tensor of the base and of all checkpoints, once."""
    peak_memory: int
    """Most memory that a factor job has at once."""
    factors: int
    """Written per checkpoint."""
    full_svd: int
    """What all of U, S and V of the same matrices would take, per checkpoint."""
    gram: int
    left_out: tuple[str, ...]
    """Matrices of decoder layers that are not factored: routers, projections of unknown names."""


def estimate_run(
    base: ModelIndex, checkpoints: Sequence[ModelIndex], scope: Scope, depth: Depth
) -> RunSize:
    """Estimate a run.

    Args:
        base: index of step 0.
        checkpoints: index of each step, at least one; the last one's figures stand for each.
        scope: which matrices are factored.
        depth: stored singular triplets per matrix.

    Raises:
        CheckpointError: a checkpoint has other tensors than the base.
    """
    scoped = list(matrices(base, scope).values())
    names = dict.fromkeys(matrix.tensor for matrix in scoped)
    for index in checkpoints:
        require_same_tensors(base, index)
    last = checkpoints[-1]
    # The base is read once for each checkpoint: a later one may be factored by another job.
    reads = [_bytes(base, names) + _bytes(index, names) for index in checkpoints]
    return RunSize(
        tensors=len(last.tensors),
        parameters=sum(info.size for info in last.tensors.values()),
        dtypes=_dtypes(base, last),
        files=1 if isinstance(last, MergedIndex) else len(last.files),
        tied=head_of(last.tensors) is None,
        checkpoint=last.nbytes if isinstance(last, MergedIndex) else _bytes(last, last.tensors),
        factors_read=sum(reads),
        gram_read=sum(_bytes(index, index.tensors) for index in (base, *checkpoints)),
        peak_memory=max(_peak_memory(matrix) for matrix in scoped) + _WORKSPACE,
        factors=sum(_factors(matrix, depth.of(*matrix.shape)) for matrix in scoped),
        full_svd=sum(_full_svd(matrix) for matrix in scoped),
        # (T, T) float64 per tensor, and the steps.
        gram=8 * len(checkpoints) ** 2 * len(last.tensors) + 8 * len(checkpoints),
        left_out=tuple(
            name
            for name, info in last.tensors.items()
            if len(info.shape) >= 2 and layer_of(name) >= 0 and name not in names
        ),
    )


def _dtypes(base: ModelIndex, last: ModelIndex) -> str:
    """The checkpoints' dtypes, and the base's where they differ."""
    trained, origin = (
        "+".join(sorted({info.dtype for info in index.tensors.values()})) for index in (last, base)
    )
    return trained if trained == origin else f"{trained}, base {origin}"


def _bytes(index: ModelIndex, names: Iterable[str]) -> int:
    return sum(index.tensors[name].nbytes for name in names)


def _peak_memory(matrix: Matrix) -> int:
    """Bytes for factoring one matrix: the update, and the bases of its iteration as they grow."""
    return _FLOAT32 * (matrix.size + 2 * _BASIS * (matrix.rows + matrix.columns))


def _factors(matrix: Matrix, rank: int) -> int:
    """u (m, k), v (n, k), s (k,) and residual (k,) in float32."""
    return _FLOAT32 * rank * (matrix.rows + matrix.columns + 2)


def _full_svd(matrix: Matrix) -> int:
    """U (m, r), S (r,), V (n, r) in float32, r = min(m, n)."""
    return _FLOAT32 * min(matrix.shape) * (matrix.rows + matrix.columns + 1)
