"""Sparsity of updates: which share of a model's entries a checkpoint leaves as they were.

Three definitions, since they answer differently, and beside each its null: what a Gaussian update
of the same size does. How many entries move follows to a large part from the size of the update
and the precision of the storage alone; only what lies above the null says where an update lands.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from alpharl.checkpoints.index import require_same_tensors
from alpharl.checkpoints.reader import DTYPES, ModelReader, refuse_not_finite
from alpharl.checkpoints.stream import CHUNK, Read, Span, Streamer, streamer

CLOSE = 1e-5
"""Largest absolute change that counts as none (Mukherjee et al., arXiv 2505.11711, 2.2)."""
ETA = 1e-3
"""Largest change relative to the larger magnitude that counts as none (arXiv 2511.08567). Two
neighbours in bfloat16 are at least 2^-8 apart in this measure, so that there it means equality."""
DEFINITIONS = ("equal", "close", "bf16")
NULLS = tuple(f"null_{name}" for name in DEFINITIONS)
COLUMNS = ["step", "tensor", "entries", "norm", *DEFINITIONS, "null_norm", *NULLS]
OVERALL = "overall"
"""In place of a tensor's name: all tensors together."""
_SAMPLE = 1 << 16
"""Entries from the middle of a tensor on which the size of its noise is found."""
_HALVINGS = 24

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class _Moved:
    """One tensor at each of S steps."""

    entries: int
    same_sd: Counts
    """Entries (S, 3) that are unchanged by each definition."""
    squared_s: Values
    """Squared Frobenius norms of the updates."""
    null_sd: Counts
    null_squared_s: Values

    def row(self, s: int) -> dict[str, float]:
        """Columns of the s-th step, from `entries` on."""
        same, null = (counts[s] / self.entries for counts in (self.same_sd, self.null_sd))
        return {
            **{"entries": self.entries, "norm": float(self.squared_s[s] ** 0.5)},
            **dict(zip(DEFINITIONS, same.tolist(), strict=True)),
            "null_norm": float(self.null_squared_s[s] ** 0.5),
            **dict(zip(NULLS, null.tolist(), strict=True)),
        }


def sparsity_table(
    base: Path,
    checkpoints: Mapping[int, Path],
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Shares of unchanged entries per checkpoint and tensor, and over all tensors.

    Each tensor is read in chunks that fit a core's cache, the base's twice; no tensor is ever held.

    Args:
        base: model folder of step 0.
        checkpoints: model folder of each step.
        seed: of the null's noise, which depends on the tensor's name besides.
        progress: called with a line per tensor.

    Columns: step; tensor, last of each step `overall`; `entries`; `norm` of the update; and the
    shares of entries that are `equal` as stored (of whatever two dtypes), `close`:
    |w' - w| <= 1e-5, and `bf16`: |w' - w| <= 1e-3 max(|w|, |w'|). `null_*`: norm and shares where
    independent Gaussian noise is added to the base and the sum is stored in the checkpoint's dtype;
    per tensor of that deviation at which what is stored has the update's norm, about.

    Raises:
        CheckpointError: a missing folder, other tensors than the base, or a value not finite.
    """
    steps, found = sorted(checkpoints), dict[str, _Moved]()
    with ExitStack() as stack:
        before = stack.enter_context(ModelReader(base))
        after = [stack.enter_context(ModelReader(checkpoints[step], base=base)) for step in steps]
        for reader in after:
            require_same_tensors(before.index, reader.index)
        # Always on the processor: it is as fast as a disk, and the noise is the same everywhere.
        stream = stack.enter_context(streamer("cpu"))
        infos = list(before.index.tensors.values())
        coming = stream.announced(infos, [before, *after], lambda i: Span(i.name, 0, i.size))
        for done, info in enumerate(coming, start=1):
            span = Span(info.name, 0, info.size)
            found[info.name] = _moved(stream, [before, *after], span, seed)
            progress(f"{done}/{len(infos)} {info.name}")
    found[OVERALL] = _together(list(found.values()))
    rows = [
        {"step": step, "tensor": name, **moved.row(s)}
        for s, step in enumerate(steps)
        for name, moved in found.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _together(parts: Sequence[_Moved]) -> _Moved:
    return _Moved(
        sum(part.entries for part in parts),
        np.sum([part.same_sd for part in parts], axis=0),
        np.sum([part.squared_s for part in parts], axis=0),
        np.sum([part.null_sd for part in parts], axis=0),
        np.sum([part.null_squared_s for part in parts], axis=0),
    )


def _moved(stream: Streamer, readers: Sequence[ModelReader], span: Span, seed: int) -> _Moved:
    """One tensor; the base is the first of the readers."""
    dtypes = [DTYPES[reader.info(span.tensor).dtype] for reader in readers]
    wide = torch.float64 if torch.float64 in dtypes else torch.float32

    def measure(chunk: Span, read: Read) -> list[_Compared]:
        old = stream.scratch("base", chunk.count, dtype=wide).copy_(read(0))
        return [_compared(old, read(i).to(wide)) for i in range(1, len(readers))]

    same_sd, squared_s = _summed(stream.each(readers, span, CHUNK, measure))
    if not np.isfinite(squared_s).all():
        refuse_not_finite(readers, span.tensor)
    sample = Span(span.tensor, max(0, (span.count - _SAMPLE) // 2), min(span.count, _SAMPLE))
    some = readers[0].part(sample.tensor, sample.start, (sample.count,)).to(wide)
    noises = [
        Noise(dtype, deviation(some, unit_noise(sample, seed), rms, dtype))
        for dtype, rms in zip(dtypes[1:], np.sqrt(squared_s / span.count), strict=True)
    ]

    def simulate(chunk: Span, read: Read) -> list[_Compared]:
        old = stream.scratch("base", chunk.count, dtype=wide).copy_(read(0))
        unit = unit_noise(chunk, seed)
        return [_compared(old, noise.added(old, unit)) for noise in noises]

    return _Moved(
        span.count, same_sd, squared_s, *_summed(stream.each(readers[:1], span, CHUNK, simulate))
    )


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on weights that are then stored."""

    stored: torch.dtype
    deviation: float

    def added(self, old: Tensor, unit: Tensor) -> Tensor:
        """The weights after it, in the dtype of `old`; `unit` is standard normal."""
        return (old + self.deviation * unit).to(self.stored).to(old.dtype)


def deviation(old: Tensor, unit: Tensor, rms: float, stored: torch.dtype) -> float:
    """The deviation of the noise that, once stored, moves weights by this root mean square.

    Storage in few bits loses small changes and widens others to a whole gap, so that what is
    stored of an update is not of its size. Found by halving an interval of a factor of a million.

    Args:
        old: some weights before (n,).
        unit: standard normal numbers (n,).
        rms: of the change that is stored.
        stored: dtype of the weights after.
    """
    low, high = math.log(rms or 1.0) - math.log(1e3), math.log(rms or 1.0) + math.log(1e3)
    for _ in range(_HALVINGS if rms else 0):
        middle = (low + high) / 2
        moved = Noise(stored, math.exp(middle)).added(old, unit) - old
        if float(moved.square().mean(dtype=torch.float64)) < rms**2:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2) if rms else 0.0


def unit_noise(chunk: Span, seed: int) -> Tensor:
    """Standard normal numbers (count,), float32, that follow from the seed and the chunk alone."""
    digest = hashlib.sha256(f"{seed}:{chunk.tensor}:{chunk.start}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.randn(chunk.count, generator=generator)


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
