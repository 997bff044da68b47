"""The bf16 floor: what storing weights in bfloat16 alone does to an update and to its spectrum.

bfloat16 keeps 8 significant bits, so that an RL update is often smaller than the gap between a
weight and its neighbour. Most weights then do not move at all, and those that do jump by a whole
gap: rounding adds a matrix of full rank to the update and takes away from its leading direction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from alpharl.checkpoints.index import require_same_tensors
from alpharl.checkpoints.reader import ModelReader, best_device, refuse_not_finite
from alpharl.errors import CheckpointError
from alpharl.spectra.lowrank import Factors
from alpharl.spectra.scope import Matrix, layer_of, matrices, module_of
from alpharl.spectra.svd import top_k

Row = dict[str, float | None]
NUMBERS = [
    "unmoved", "share", "noise_norm_ratio", "noise_s1_ratio", "noise_share",
    "rounded_share", "rounded_s1_ratio", "rounded_unmoved",
]  # fmt: skip
COLUMNS = ["tensor", "layer", "module", *NUMBERS]
_SMALLEST_NORMAL = 2.0**-126
_FRACTION_BITS = 7


@dataclass(frozen=True)
class Leading:
    """The leading triplet of an update: u (m,), s, v (n,), and the update's Frobenius norm."""

    u: Tensor
    s: float
    v: Tensor
    norm: float


def floor_table(
    base: Path,
    checkpoint: Path,
    factors: Mapping[str, Factors] | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """The floor of every matrix of the paper's scope, one row each.

    Args:
        base: model folder of step 0.
        checkpoint: model folder of the step.
        factors: the checkpoint's factors, where they were made before.
        seed: of the simulated rounding noise; each tensor draws its own.
        progress: called with a line per matrix.

    Columns: tensor, layer, module; `unmoved`, the share of entries whose stored value is the
    base's; `share`, the update's s_1^2 / norm^2; and those of `simulate`. All but `unmoved` are
    missing for an update that is zero.

    Raises:
        CheckpointError: a missing folder, other tensors than the base, a value not finite, or
            factors that lack a matrix.
    """
    device, rows = best_device(), []
    with ModelReader(base, device) as before, ModelReader(checkpoint, device, base) as after:
        require_same_tensors(before.index, after.index)
        found = matrices(before.index, "paper")
        for done, (name, matrix) in enumerate(found.items(), start=1):
            row = _matrix_row(before, after, matrix, factors, seed)
            rows.append({"tensor": name, "layer": layer_of(name), "module": module_of(name)} | row)
            progress(f"{done}/{len(found)} {name}")
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(NUMBERS, float))


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Means per module, in the order of the table."""
    return table.groupby("module", sort=False)[NUMBERS].mean()


def _matrix_row(
    before: ModelReader,
    after: ModelReader,
    matrix: Matrix,
    factors: Mapping[str, Factors] | None,
    seed: int,
) -> Row:
    name = matrix.name
    old, new = (r.part(matrix.tensor, matrix.start, matrix.shape) for r in (before, after))
    unmoved, base_mn = unmoved_share(old, new), old.float()
    if not bool(torch.isfinite(base_mn.sum() + new.float().sum())):
        refuse_not_finite([before, after], matrix.tensor)
    if factors is None:
        leading = _leading(new.float() - base_mn)
    elif name in factors:
        leading = _stored_leading(factors[name], base_mn.device)
    else:
        raise CheckpointError(
            f"factors: found no {name} among {len(factors)} matrices; give all shards of the "
            "checkpoint's factors"
        )
    if leading.norm == 0:
        return {"unmoved": unmoved}
    share = (leading.s / leading.norm) ** 2
    return {"unmoved": unmoved, "share": share} | simulate(base_mn, leading, name, seed)


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
    """What is left of a rank-1 update norm u v^T after the weights are stored in bfloat16."""
    stored = base_mn.bfloat16().float()
    target = stored + torch.outer(leading.norm * leading.u, leading.v)
    return target.bfloat16().float() - stored


def simulate(base_mn: Tensor, leading: Leading, name: str, seed: int) -> Row:
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
    noise = _leading(rounding_noise(base_mn, name, seed))
    rounded_mn = rounded_update(base_mn, leading)
    rounded = _leading(rounded_mn)
    return {
        "noise_norm_ratio": noise.norm / leading.norm,
        "noise_s1_ratio": noise.s / leading.s,
        "noise_share": (noise.s / noise.norm) ** 2,
        "rounded_share": (rounded.s / rounded.norm) ** 2 if rounded.norm else None,
        "rounded_s1_ratio": rounded.s / leading.norm,
        "rounded_unmoved": float((rounded_mn == 0).double().mean()),
    }


def _leading(matrix_mn: Tensor) -> Leading:
    found = top_k(matrix_mn, 1)
    u, s, v = found[0][:, 0], float(found[1][0]), found[2][:, 0]
    return Leading(u, s, v, float(torch.linalg.vector_norm(matrix_mn, dtype=torch.float64)))


def _stored_leading(factors: Factors, device: torch.device) -> Leading:
    u, v = (torch.from_numpy(x[:, 0]).to(device) for x in (factors.low.u, factors.low.v))
    return Leading(u, float(factors.low.s[0]), v, factors.norm)
