"""Factors of a checkpoint's update: top-k SVD of every matrix in scope, streamed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alpharl.checkpoints.files import write_arrays
from alpharl.checkpoints.reader import ModelReader, best_device, updates
from alpharl.spectra.lowrank import Factors, LowRank
from alpharl.spectra.scope import Scope, matrices, shard
from alpharl.spectra.svd import top_k
from alpharl.study.depth import Depth

Progress = Callable[[str], None]


def factor_update(delta_mn: Tensor, rank: int) -> Factors:
    """Factors of one update (m, n), float32, with its Frobenius norm summed in float64."""
    u, s, v, residual = (_numpy(x) for x in top_k(delta_mn, rank))
    norm = float(torch.linalg.vector_norm(delta_mn, dtype=torch.float64))
    return Factors(LowRank(u, s, v), norm, residual)


def factor_checkpoint(
    base: Path,
    checkpoint: Path,
    depth: Depth,
    scope: Scope = "paper",
    part: tuple[int, int] = (0, 1),
    progress: Progress = lambda line: None,
) -> dict[str, Factors]:
    """Factors of one checkpoint, or of one of its shards.

    Args:
        base: model folder of step 0.
        checkpoint: model folder of the step.
        depth: triplets per matrix.
        scope: which matrices.
        part: (index, count) of the shard.
        progress: called with a line per matrix.

    Raises:
        CheckpointError: a missing folder, other tensors than the base, or a value not finite.
    """
    device, found = best_device(), {}
    with ModelReader(base, device) as before, ModelReader(checkpoint, device) as after:
        names = shard(before.index, matrices(before.index, scope), *part)
        for done, (name, delta) in enumerate(updates(before, after, names), start=1):
            found[name] = factor_update(delta, depth.of(*delta.shape))
            progress(f"{done}/{len(names)} {name} norm {found[name].norm:.3g}")
    return found


def write_factors(factors: dict[str, Factors], out: Path, metadata: object) -> None:
    """Write a factor file: `<name>/u`, `/s`, `/v`, `/norm`, `/residual`, float32."""
    arrays: dict[str, np.ndarray] = {}
    for name, found in factors.items():
        low = found.low
        parts = {"u": low.u, "s": low.s, "v": low.v, "residual": found.residual}
        arrays |= {f"{name}/{key}": value for key, value in parts.items()}
        arrays[f"{name}/norm"] = np.asarray(found.norm)
    write_arrays(out, {key: np.asarray(a, np.float32) for key, a in arrays.items()}, metadata)


def _numpy(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.cpu().numpy()
    return array
