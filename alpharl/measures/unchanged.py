"""How many entries of a tensor stay as they were, counted in chunks: no tensor is ever held."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alpharl.checkpoints.reader import DTYPES, ModelReader, refuse_not_finite
from alpharl.checkpoints.stream import CHUNK, Read, Span, Streamer
from alpharl.measures.noise import Noise, deviation, unit_noise

CLOSE = 1e-5
"""Largest absolute change that counts as none (Mukherjee et al., arXiv 2505.11711, 2.2)."""
ETA = 1e-3
"""Largest change relative to the larger magnitude that counts as none (arXiv 2511.08567). Two
neighbours in bfloat16 are at least 2^-8 apart in this measure, so that there it means equality."""
_SAMPLE = 1 << 16
"""Entries from the middle of a tensor on which the size of its noise is found."""

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


class Unchanged(NamedTuple):
    """One tensor at each of S steps, as it is and with Gaussian noise in place of the updates."""

    same_sd: Counts
    """Entries (S, 3) that are equal, within CLOSE, and within ETA."""
    squared_s: Values
    """Squared Frobenius norms of the updates."""
    null_sd: Counts
    null_squared_s: Values


def count_unchanged(
    stream: Streamer, base: ModelReader, after: Sequence[ModelReader], span: Span, seed: int
) -> Unchanged:
    """Compare a tensor of the base with the same tensor of S checkpoints.

    Reads each checkpoint's once and the base's twice, in chunks that fit a core's cache.

    Raises:
        CheckpointError: a value is not finite.
    """
    readers = [base, *after]
    dtypes = [DTYPES[reader.info(span.tensor).dtype] for reader in readers]
    wide = torch.float64 if torch.float64 in dtypes else torch.float32

    def compare(chunk: Span, read: Read) -> list[_Compared]:
        old = stream.scratch("base", chunk.count, dtype=wide).copy_(read(0))
        return [_compared(old, read(i).to(wide)) for i in range(1, len(readers))]

    same_sd, squared_s = _summed(stream.each(readers, span, CHUNK, compare))
    if not np.isfinite(squared_s).all():
        refuse_not_finite(readers, span.tensor)
    sample = Span(span.tensor, max(0, (span.count - _SAMPLE) // 2), min(span.count, _SAMPLE))
    some = base.part(sample.tensor, sample.start, (sample.count,)).to(wide)
    noises = [
        Noise(dtype, deviation(some, unit_noise(sample, seed), rms, dtype))
        for dtype, rms in zip(dtypes[1:], np.sqrt(squared_s / span.count), strict=True)
    ]

    def simulate(chunk: Span, read: Read) -> list[_Compared]:
        old = stream.scratch("base", chunk.count, dtype=wide).copy_(read(0))
        unit = unit_noise(chunk, seed)
        return [_compared(old, noise.added(old, unit)) for noise in noises]

    return Unchanged(same_sd, squared_s, *_summed(stream.each([base], span, CHUNK, simulate)))


class _Compared(NamedTuple):
    same_d: list[int]
    squared: float


def _compared(old: Tensor, new: Tensor) -> _Compared:
    """Unchanged entries by each definition, and the squared norm of the difference."""
    gap = (new - old).abs_()
    larger = torch.maximum(old.abs(), new.abs())
    unchanged = (old == new, gap <= CLOSE, gap <= larger.mul_(ETA))
    squared = float(torch.linalg.vector_norm(gap, dtype=torch.float64)) ** 2
    return _Compared([int(torch.count_nonzero(same)) for same in unchanged], squared)


def _summed(chunks: list[list[_Compared]]) -> tuple[Counts, Values]:
    """Sums over chunks: counts (S, 3) and squared norms (S,)."""
    counts = np.array([[step.same_d for step in chunk] for chunk in chunks])
    return counts.sum(0), np.array([[step.squared for step in chunk] for chunk in chunks]).sum(0)
