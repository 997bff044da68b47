"""Rank-k models of an update, their variations and controls, from stored factors. Torch-free.

Source of the rank-k model: AlphaRL (arXiv 2510.00553 v3), section 2.1, eqs 1-3, with the norm read
as Frobenius norm, as the released code has it (with the spectral norm alpha would always be 1).
Only the matrices of the paper's scope change; everything else stays at base unless a recipe takes
the rest from the checkpoint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from alpharl.errors import CheckpointError
from alpharl.forecasting.contract import Blend
from alpharl.spectra.lowrank import Factors, LowRank
from alpharl.spectra.scope import in_paper_scope
from alpharl.variants.recipes import Recipe

FLOAT32_NOTHING = 1e-6
"""Share of a squared norm that float32 factors cannot tell from zero."""
FLOAT32_ZERO = 1e-6
"""Share of a norm at or below which a singular value in float32 is a rounding error."""
Parts = tuple[Blend, dict[str, LowRank]]


def rank_parts(
    recipe: Recipe,
    step: int,
    factors: Mapping[str, Factors],
    seed: int = 0,
    tensors: Iterable[str] = (),
) -> Parts:
    """Blend and adapter of a rank variant.

    Kinds: `rank` (top k, rescaled per matrix to the full update's Frobenius norm), `unscaled` (top
    k as it is), `component` (the k-th triplet alone, rescaled), `without` (the update less its top
    k, rescaled), `full-update` (all of it, in scope), `rest-only` (nothing in scope), `random`
    (random rank-k of the full norm), `random-unscaled` (random rank-k of the norm of the top k).

    Args:
        recipe: the kind, k, and what else is asked for.
        step: the checkpoint that the factors are of.
        factors: per tensor name.
        seed: of the random directions.
        tensors: names of all tensors of the model; needed where the recipe takes the rest.

    Raises:
        CheckpointError: fewer triplets are stored than asked for, or no matrix has the component.
    """
    scope = {name: f for name, f in factors.items() if in_paper_scope(name) and f.norm > 0}
    _require_depth(scope, recipe)
    blend, adapter = _in_scope(recipe, step, scope, seed)
    if recipe.scale != 1:
        blend = {n: {s: w * recipe.scale for s, w in row.items()} for n, row in blend.items()}
        adapter = {name: low.scaled(recipe.scale) for name, low in adapter.items()}
    if recipe.rest:
        blend |= {name: {step: 1.0} for name in tensors if not in_paper_scope(name)}
    return blend, adapter


def _in_scope(recipe: Recipe, step: int, scope: Mapping[str, Factors], seed: int) -> Parts:
    """The update of the matrices in scope, at lambda 1."""
    if recipe.kind == "without":
        return _without(scope, recipe, step)
    if recipe.kind == "full-update":
        return {name: {step: 1.0} for name in scope}, {}
    made = {name: _low_rank(recipe, name, factors, seed) for name, factors in scope.items()}
    return {}, {name: low for name, low in made.items() if low is not None}


def _low_rank(recipe: Recipe, name: str, factors: Factors, seed: int) -> LowRank | None:
    """The update of one matrix; None leaves it at base."""
    k = _rank(recipe, factors)
    if recipe.kind == "rank":
        return factors.low.top(k).scaled(factors.rescale(k))
    if recipe.kind == "unscaled":
        return factors.low.top(k)
    if recipe.kind == "component":
        return _component(factors, recipe.depth.rank)
    if recipe.kind == "random":
        return random_like(name, factors, k, seed)
    if recipe.kind == "random-unscaled":
        return random_like(name, factors, k, seed).scaled(1 / factors.rescale(k))
    return None


def _rank(recipe: Recipe, factors: Factors) -> int:
    """k of one matrix."""
    return recipe.depth.of(len(factors.low.u), len(factors.low.v))


def _component(factors: Factors, i: int) -> LowRank | None:
    """The i-th triplet, from 1, with the full update's norm; None where the update has none."""
    low, one = factors.low, slice(i - 1, i)
    if len(low.s[one]) == 0 or low.s[i - 1] <= FLOAT32_ZERO * factors.norm:
        return None
    return LowRank(low.u[:, one], np.full(1, factors.norm), low.v[:, one])


def random_like(name: str, like: Factors, rank: int, seed: int) -> LowRank:
    """Random orthonormal directions, equal singular values, the update's Frobenius norm.

    Seeded by the tensor's name, so that it does not depend on which tensors stand next to it.
    """
    name_seed = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")
    rng = np.random.default_rng(name_seed)
    m, n = len(like.low.u), len(like.low.v)
    k = min(rank, m, n)
    u, _ = np.linalg.qr(rng.standard_normal((m, k)))
    v, _ = np.linalg.qr(rng.standard_normal((n, k)))
    return LowRank(u, np.full(k, like.norm / np.sqrt(k)), v)


def _without(scope: Mapping[str, Factors], recipe: Recipe, step: int) -> Parts:
    """The full update as a blend, and its top k as an adapter of negative sign."""
    blend, adapter = {}, {}
    for name, factors in scope.items():
        top = factors.low.top(_rank(recipe, factors))
        left = factors.norm**2 - float(np.sum(np.square(top.s, dtype=np.float64)))
        # Nothing is left of an update of rank k: leave that matrix at base.
        if left > FLOAT32_NOTHING * factors.norm**2:
            factor = factors.norm / float(np.sqrt(left))
            blend[name], adapter[name] = {step: factor}, top.scaled(-factor)
    return blend, adapter


def _require_depth(scope: Mapping[str, Factors], recipe: Recipe) -> None:
    """Refuse factors that are not deep enough, and a component that no matrix can have."""
    for name, factors in scope.items():
        needed = recipe.reads.of(len(factors.low.u), len(factors.low.v))
        if len(factors.low.s) < needed:
            raise CheckpointError(
                f"{name}: {len(factors.low.s)} triplets are stored, {needed} are needed for "
                f"{recipe.reads}; factor again with at least that"
            )
    most = max((min(len(f.low.u), len(f.low.v)) for f in scope.values()), default=0)
    if scope and recipe.kind == "component" and recipe.depth.rank > most:
        raise CheckpointError(
            f"found component {recipe.depth.rank}, expected at most {most}, as many as the largest "
            "matrix has; ask for a lower one"
        )
