"""What a run's stages will read, hold and write, from the headers of its checkpoints alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from alpharl.checkpoints.index import ModelIndex, TensorInfo, require_same_tensors
from alpharl.errors import CheckpointError

FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
"""Dtypes whose stored values are the weights themselves, once converted to float32."""
_SCALES = ("_scale_inv", "_scale")
"""What a quantised tensor's companion is called: `x.weight_scale_inv` beside `x.weight`."""
_WORKSPACE = 64 << 20
_FLOAT32 = 4


@dataclass(frozen=True)
class Estimate:
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
    """Of a factor job."""
    factors: int
    """Written per checkpoint."""
    full_svd: int
    """What all of U, S and V of the same matrices would take, per checkpoint."""
    gram: int


def estimate_run(
    base: ModelIndex, checkpoints: Sequence[ModelIndex], names: Sequence[str], rank: int
) -> Estimate:
    """Estimate a run.

    Args:
        base: index of step 0.
        checkpoints: index of each step, at least one; the last one's figures stand for each.
        names: the 2-D tensors in scope.
        rank: stored singular triplets per matrix.

    Raises:
        CheckpointError: a checkpoint has other tensors than the base, or a tensor in scope has a
            dtype that cannot be subtracted.
    """
    for index in (base, *checkpoints):
        require_plain(index, names)
    for index in checkpoints:
        require_same_tensors(base, index)
    last = checkpoints[-1]
    scoped = [last.tensors[name] for name in names]
    reads = [_bytes(base, names) + _bytes(index, names) for index in checkpoints]
    return Estimate(
        tensors=len(last.tensors),
        parameters=sum(prod(info.shape) for info in last.tensors.values()),
        dtypes=_dtypes(base, last),
        files=len(last.files),
        tied="lm_head.weight" not in last.tensors,
        checkpoint=_bytes(last, last.tensors),
        factors_read=sum(reads),
        gram_read=sum(_bytes(index, index.tensors) for index in (base, *checkpoints)),
        peak_memory=_peak_memory(scoped),
        factors=sum(_factors(info.shape, rank) for info in scoped),
        full_svd=sum(_full_svd(info.shape) for info in scoped),
        # (T, T) float64 per tensor, and the steps.
        gram=8 * len(checkpoints) ** 2 * len(last.tensors) + 8 * len(checkpoints),
    )


def require_plain(index: ModelIndex, names: Sequence[str]) -> None:
    """Refuse weights that are not plain floating point numbers.

    Raises:
        CheckpointError: names the first such tensor.
    """
    for name in names:
        info = index.tensors.get(name)
        if info is None:  # said better by the comparison with the base
            continue
        scales = [name + end for end in _SCALES if name + end in index.tensors]
        if info.dtype.startswith("F8_") and scales:
            raise CheckpointError(
                f"{index.folder}: {name} is {info.dtype} with scales in {scales[0]}, expected "
                "plain weights: its codes alone are not the weights; dequantise the model first"
            )
        if info.dtype not in FLOATS:
            raise CheckpointError(
                f"{index.folder}: {name} is {info.dtype}, expected one of {', '.join(FLOATS)}; "
                "convert the model first"
            )


def _dtypes(base: ModelIndex, last: ModelIndex) -> str:
    """The checkpoints' dtypes, and the base's where they differ."""
    found, origin = (
        "+".join(sorted({info.dtype for info in index.tensors.values()})) for index in (last, base)
    )
    return found if found == origin else f"{found}, base {origin}"


def _bytes(index: ModelIndex, names: Sequence[str] | dict[str, TensorInfo]) -> int:
    return sum(index.tensors[name].nbytes for name in names)


def _peak_memory(scoped: Sequence[TensorInfo]) -> int:
    """Of one factor job: the largest update, its two stored ends, and the SVD's small parts."""
    return max(_FLOAT32 * prod(i.shape) + 2 * i.nbytes for i in scoped) + _WORKSPACE


def _factors(shape: tuple[int, ...], rank: int) -> int:
    """u (m, k), v (n, k), s (k,) and residual (k,) in float32."""
    m, n = shape
    return _FLOAT32 * min(rank, m, n) * (m + n + 2)


def _full_svd(shape: tuple[int, ...]) -> int:
    """U (m, r), S (r,), V (n, r) in float32, r = min(m, n)."""
    m, n = shape
    return _FLOAT32 * min(m, n) * (m + n + 1)
