"""Gaussian noise that is added to weights and stored with them: the null of sparsity.

Storage in few bits loses small changes and widens others to a whole gap, so the noise has to be
larger or smaller than the update for what is stored of it to have the update's size.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from alpharl.checkpoints.stream import Span

_HALVINGS = 24


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

    Halves an interval of a factor of a million.

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
