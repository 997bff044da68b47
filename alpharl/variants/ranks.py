"""Rank-k models of an update, and their controls, from stored factors alone. Torch-free.

Source of the rank-k model: AlphaRL (arXiv 2510.00553 v3), section 2.1, eqs 1-3, with the norm read
as Frobenius norm, as the released code has it (with the spectral norm alpha would always be 1).
Only the matrices of the paper's scope change; everything else stays at base.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from alpharl.errors import CheckpointError
from alpharl.forecasting.contract import Blend
from alpharl.spectra.lowrank import Factors, LowRank
from alpharl.spectra.scope import in_paper_scope
from alpharl.study.plan import RankKind

FLOAT32_NOTHING = 1e-6
"""Share of a squared norm that float32 factors cannot tell from zero."""
Parts = tuple[Blend, dict[str, LowRank]]


def rank_parts(
    kind: RankKind, rank: int, step: int, factors: Mapping[str, Factors], seed: int = 0
) -> Parts:
    """Blend and adapter of a rank variant.

    Args:
        kind: `rank` (top k, rescaled per matrix to the full update's Frobenius norm), `unscaled`
            (top k as it is), `random` (random rank-k of the full norm), `without` (the update less
            its top k, rescaled to the full norm), `full-update` (all of it, in scope).
        rank: k.
        step: the checkpoint that the factors are of.
        factors: per tensor name.
        seed: of the random directions.

    Raises:
        CheckpointError: fewer triplets are stored than asked for.
    """
    scope = {name: f for name, f in factors.items() if in_paper_scope(name) and f.norm > 0}
    if kind not in ("random", "full-update"):
        _require_rank(scope, rank)
    if kind == "rank":
        return {}, {n: f.low.top(rank).scaled(f.rescale(rank)) for n, f in scope.items()}
    if kind == "unscaled":
        return {}, {n: f.low.top(rank) for n, f in scope.items()}
    if kind == "random":
        return {}, {n: random_like(n, f, rank, seed) for n, f in scope.items()}
    if kind == "without":
        return _without(scope, rank, step)
    return {name: {step: 1.0} for name in scope}, {}


def random_like(name: str, like: Factors, rank: int, seed: int) -> LowRank:
    """Random orthonormal directions, equal singular values, the update's Frobenius norm.

    Seeded by the tensor's name, so that it does not depend on which tensors stand beside it.
    """
    own = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")
    rng = np.random.default_rng(own)
    m, n = len(like.low.u), len(like.low.v)
    k = min(rank, m, n)
    u, _ = np.linalg.qr(rng.standard_normal((m, k)))
    v, _ = np.linalg.qr(rng.standard_normal((n, k)))
    return LowRank(u, np.full(k, like.norm / np.sqrt(k)), v)


def _without(scope: Mapping[str, Factors], rank: int, step: int) -> Parts:
    """The full update as a blend, and its top k as an adapter of negative sign."""
    blend, adapter = {}, {}
    for name, found in scope.items():
        top = found.low.top(rank)
        left = found.norm**2 - float(np.sum(np.square(top.s, dtype=np.float64)))
        # Nothing is left of an update of rank k: leave that matrix at base.
        if left > FLOAT32_NOTHING * found.norm**2:
            factor = found.norm / float(np.sqrt(left))
            blend[name], adapter[name] = {step: factor}, top.scaled(-factor)
    return blend, adapter


def _require_rank(scope: Mapping[str, Factors], rank: int) -> None:
    for name, found in scope.items():
        full = min(len(found.low.u), len(found.low.v))
        if len(found.low.s) < min(rank, full):
            raise CheckpointError(
                f"{name}: {len(found.low.s)} triplets are stored, rank {rank} was asked for; "
                "factor again with a higher rank"
            )
