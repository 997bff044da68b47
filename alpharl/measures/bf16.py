"""Storage in bfloat16: the gaps between its numbers, and how rounding to them changes updates."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from alpharl.spectra.lowrank import Factors
from alpharl.spectra.svd import top_k

_SMALLEST_NORMAL = 2.0**-126
_FRACTION_BITS = 7


@dataclass(frozen=True)
class Leading:
    """The leading triplet of an update: u (m,), s, v (n,), and the update's Frobenius norm."""

    u: Tensor
    s: float
    v: Tensor
    norm: float

    @classmethod
    def of(cls, matrix_mn: Tensor) -> Leading:
        """The leading triplet of a matrix."""
        u_m1, s_1, v_n1, *_ = top_k(matrix_mn, 1)
        norm = float(torch.linalg.vector_norm(matrix_mn, dtype=torch.float64))
        return cls(u_m1[:, 0], float(s_1[0]), v_n1[:, 0], norm)

    @classmethod
    def stored(cls, factors: Factors, device: torch.device) -> Leading:
        """That of stored factors."""
        u, v = (torch.from_numpy(x[:, 0]).to(device) for x in (factors.low.u, factors.low.v))
        return cls(u, float(factors.low.s[0]), v, factors.norm)


def unmoved_share(before: Tensor, after: Tensor) -> float:
    """Share of entries whose stored values are equal, also across dtypes."""
    wide = torch.float64 if torch.float64 in (before.dtype, after.dtype) else torch.float32
    return float((before.to(wide) == after.to(wide)).double().mean())


def bf16_spacing(weights: Tensor) -> Tensor:
    """Gap between each weight and the next larger magnitude in bfloat16, in float32.

    2^(floor(log2 |w|) - 7), and the gap of the smallest normal number for zeros and subnormals.
    """
    # frexp has the mantissa in [0.5, 1), so its exponent is floor(log2 |w|) + 1.
    exponent = torch.frexp(weights.float().abs().clamp_min(_SMALLEST_NORMAL)).exponent
    return torch.ldexp(torch.ones_like(weights, dtype=torch.float32), exponent - 1 - _FRACTION_BITS)


def rounding_noise(base_mn: Tensor, name: str, seed: int) -> Tensor:
    """Noise of rounding to bfloat16: uniform within half a gap on either side of each weight.

    The draw depends on the seed and the tensor's name only, and is the same on all devices.
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    uniform = torch.rand(base_mn.shape, generator=generator).to(base_mn.device)
    return (uniform - 0.5) * bf16_spacing(base_mn)


def rounded_update(base_mn: Tensor, leading: Leading) -> Tensor:
    """The rank-1 update norm u v^T as it is after the weights are stored in bfloat16."""
    stored = base_mn.bfloat16().float()
    target = stored + torch.outer(leading.norm * leading.u, leading.v)
    return target.bfloat16().float() - stored


def simulate(base_mn: Tensor, leading: Leading, name: str, seed: int) -> dict[str, float | None]:
    """Rounding noise beside an update, and a rank-1 update of its norm after rounding.

    Args:
        base_mn: the base's weights (m, n), float32.
        leading: the update's leading triplet; its norm is not zero.
        name: the tensor's name, which seeds the noise together with `seed`.
        seed: see `name`.

    Returns:
        noise_norm_ratio: norm of the noise over the update's.
        noise_s1_ratio: top singular value of the noise over the update's.
        noise_share: rank-1 share of the noise alone.
        rounded_share: rank-1 share of the rounded rank-1 update; 1 without rounding.
        rounded_s1_ratio: its top singular value over the norm before rounding; 1 without rounding.
        rounded_unmoved: its share of entries that do not move.
    """
    noise = Leading.of(rounding_noise(base_mn, name, seed))
    rounded_mn = rounded_update(base_mn, leading)
    rounded = Leading.of(rounded_mn)
    return {
        "noise_norm_ratio": noise.norm / leading.norm,
        "noise_s1_ratio": noise.s / leading.s,
        "noise_share": (noise.s / noise.norm) ** 2,
        "rounded_share": (rounded.s / rounded.norm) ** 2 if rounded.norm else None,
        "rounded_s1_ratio": rounded.s / leading.norm,
        "rounded_unmoved": float((rounded_mn == 0).double().mean()),
    }
