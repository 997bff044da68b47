"""The table of a run's trajectory fits: every number beside its null models.

| measure | permutation | noise | random-walk | bf16 | keep-last |
| --- | --- | --- | --- | --- | --- |
| pls_r2, pls_left_out_r2 | accuracies | vectors | vectors | vectors | |
| holdout_pls_mae | accuracies | vectors | vectors | vectors | accuracy |
| line_r2, line_accuracy_r2 | clock | gram | gram | block | |
| holdout_line_ratio | order | gram | gram | block | weights |
| temporal_share | | gram | gram | block | |
| cosine_u1, cosine_v1 | order | vectors | block | block | |

Left out: the share of the first direction does not depend on the order of the checkpoints. A
block's own u1 is no null for fits of the real u1, since their R2 grows with the number of
dimensions: `bf16` vectors have the real number of dimensions, and turn from checkpoint to
checkpoint as far as the u1 of a walking block turns once it is stored in bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import numpy as np
import pandas as pd

from alpharl.dynamics import blocks, many
from alpharl.dynamics.align import align_backwards
from alpharl.dynamics.blocks import Block, Walks
from alpharl.dynamics.holdout import holdout_size, line_holdout, pls_holdout
from alpharl.dynamics.nulls import (
    Null,
    batches,
    noise_cosine,
    noise_grams,
    noise_vectors,
    shuffles,
    sphere_walks,
    step_lengths,
    turns,
    walk_grams,
)
from alpharl.dynamics.pls import pls_left_out_r2, pls_r2
from alpharl.dynamics.temporal import line_r2, temporal_svd
from alpharl.errors import MethodError, UndefinedForecast
from alpharl.spectra.gram import Gram
from alpharl.spectra.lowrank import Factors
from alpharl.spectra.scope import layer_of, module_of

Row = dict[str, object]
Draws = dict[str, np.ndarray]
"""Draws of each measure under one null model."""
COLUMNS = [
    "tensor", "layer", "module", "measure", "value",
    "null", "null_q05", "null_q50", "null_q95", "p",
]  # fmt: skip
ERRORS = ("holdout_pls_mae", "holdout_line_ratio")
"""Measures that are better when smaller: p counts the draws that are at least as small."""


@dataclass(frozen=True)
class Settings:
    """Null draws, hold-out share and seed."""

    permutations: int = 200
    holdout: float = 0.6
    seed: int = 0

    @property
    def walks(self) -> int:
        """Walks of a block, which cost thousands of entries each: a fifth of the draws, or 20."""
        return min(max(self.permutations // 5, 20), 100)


def dynamics_table(
    factors: Mapping[int, Mapping[str, Factors]],
    gram: Gram,
    accuracy: Mapping[int, float],
    base: Mapping[str, Block],
    settings: Settings,
    progress: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Fits of every matrix's trajectory, one row per (tensor, measure, null model).

    Args:
        factors: per step, per tensor.
        gram: of the same run; only tensors with factors are used.
        accuracy: validation accuracy per step; the factors' steps must be among them.
        base: sampled weights of each tensor at step 0 (`sample_blocks`).
        settings: null draws, hold-out share and seed.
        progress: called with a line per tensor.

    Columns: tensor, layer, module, measure, value, null, null_q05, null_q50, null_q95, p.

    Raises:
        MethodError: fewer than three checkpoints, or an accuracy is missing.
    """
    steps = sorted(factors)
    missing = [step for step in steps if step not in accuracy]
    if len(steps) < 3 or missing:
        raise MethodError(
            f"dynamics: found {len(steps)} checkpoints, no accuracy for steps {missing}; expected "
            "at least 3 checkpoints, each with an accuracy"
        )
    y_t = np.array([accuracy[step] for step in steps])
    rows: list[Row] = []
    products, clock = gram.upto(steps).tensors, np.array(steps, np.float64)
    for name in factors[steps[0]]:
        u_td, v_td = (_signed(factors, name, side) for side in ("u", "v"))
        walked = blocks.walk_block(
            base[name], step_lengths(products[name]), settings.walks, settings.seed
        )
        walks, kept = blocks.look(walked), blocks.look(blocks.stored(base[name], walked))
        measured = [
            *_pls_rows(u_td, y_t, kept, settings),
            *_line_rows(products[name], clock, y_t, kept, settings),
            *_rotation_rows({"u": u_td, "v": v_td}, products[name], walks, kept, settings),
        ]
        rows += [
            {"tensor": name, "layer": layer_of(name), "module": module_of(name)} | m
            for m in measured
        ]
        progress(f"{name} done")
    return pd.DataFrame(rows, columns=COLUMNS)


def _signed(
    factors: Mapping[int, Mapping[str, Factors]], name: str, side: Literal["u", "v"]
) -> np.ndarray:
    """(T, d): the first singular vector of each step, signs continuous in time."""
    vectors = np.stack(
        [getattr(found[name].low, side)[:, 0] for _, found in sorted(factors.items())]
    )
    signed: np.ndarray = vectors * align_backwards(vectors)[:, None]
    return signed


def _pls_rows(u_td: np.ndarray, y_t: np.ndarray, kept: Walks, settings: Settings) -> Iterator[Row]:
    """PLS of u1 on accuracy, in sample and held out; nothing where accuracy does not vary."""
    fitted = holdout_size(len(y_t), settings.holdout)
    try:
        error, keep = pls_holdout(u_td, y_t, fitted)
        values = {"pls_r2": pls_r2(u_td, y_t), "pls_left_out_r2": pls_left_out_r2(u_td, y_t)}
    except UndefinedForecast:
        return
    for name, draws in _pls_draws(u_td, y_t, kept, fitted, settings):
        yield from _rows(values | {"holdout_pls_mae": error}, name, draws)
    yield _baseline("holdout_pls_mae", error, keep)


def _pls_draws(
    u_td: np.ndarray, y_t: np.ndarray, kept: Walks, fitted: int, settings: Settings
) -> Iterator[tuple[str, Draws]]:
    """Name and draws of each null model of the PLS measures."""
    (count, dimensions), draws, seed = u_td.shape, settings.permutations, settings.seed
    shuffled, x_td = y_t[shuffles(count, draws, seed)], u_td.astype(np.float64)[None]
    sizes = np.cumsum(list(batches(draws, count * count * dimensions)))[:-1]
    pairs = [(x_td, y_bt) for y_bt in np.split(shuffled, sizes)]
    yield "permutation", _pls_measures(pairs, fitted)
    yield "noise", _noise_pls(tuple(y_t.tolist()), dimensions, fitted, settings)
    angles = np.tile(turns(u_td), (draws, 1))
    for name, turned in ("random-walk", angles), ("bf16", np.arccos(np.clip(kept.u, 0, 1))):
        walks = sphere_walks(turned, dimensions, seed)
        yield name, _pls_measures(((x_btd, y_t[None]) for x_btd in walks), fitted)


@lru_cache(maxsize=16)
def _noise_pls(
    accuracies: tuple[float, ...], dimensions: int, fitted: int, settings: Settings
) -> Draws:
    """Independent vectors know nothing of their tensor, so tensors of one height share them."""
    y_bt, (draws, seed) = np.array([accuracies]), (settings.permutations, settings.seed)
    drawn = noise_vectors(len(accuracies), dimensions, draws, seed)
    return _pls_measures(((x_btd, y_bt) for x_btd in drawn), fitted)


def _pls_measures(pairs: Iterable[tuple[np.ndarray, np.ndarray]], fitted: int) -> Draws:
    """The PLS measures of batches of trajectories and accuracies."""
    measures: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "pls_r2": many.pls_r2,
        "pls_left_out_r2": many.pls_left_out_r2,
        "holdout_pls_mae": partial(many.pls_holdout, fitted=fitted),
    }
    found = [{name: measure(x, y) for name, measure in measures.items()} for x, y in pairs]
    return {name: np.concatenate([part[name] for part in found]) for name in measures}


def _line_rows(
    gram_tt: np.ndarray, steps: np.ndarray, y_t: np.ndarray, kept: Walks, settings: Settings
) -> Iterator[Row]:
    """Temporal direction and its line against both clocks; nothing for a frozen tensor."""
    first = temporal_svd(gram_tt, 1)
    if not len(first.share):
        return
    draws, seed = settings.permutations, settings.seed
    fitted, coefficient = holdout_size(len(steps), settings.holdout), first.coefficients[:, 0]
    clocks = {"line_r2": steps} | ({"line_accuracy_r2": y_t} if np.ptp(y_t) else {})
    lines = {measure: line_r2(clock, coefficient) for measure, clock in clocks.items()}
    ratio = line_holdout(gram_tt, steps, fitted)
    values = {**lines, "temporal_share": float(first.share[0]), "holdout_line_ratio": ratio}
    order = shuffles(len(steps), draws, seed)
    drawn = {
        "permutation": gram_tt[order[:, :, None], order[:, None, :]],
        "noise": noise_grams(gram_tt, draws, seed),
        "random-walk": walk_grams(gram_tt, draws, seed),
        "bf16": kept.grams,
    }
    for name, grams in drawn.items():
        share, fits = many.line_fits(grams, list(clocks.values()))
        found = dict(zip(clocks, fits, strict=True))
        found["holdout_line_ratio"] = many.line_holdout(grams, steps, fitted)
        if name != "permutation":
            found["temporal_share"] = share
        yield from _rows(values, name, found)
    yield _baseline("holdout_line_ratio", ratio, 1.0)


def _rotation_rows(
    vectors: Mapping[str, np.ndarray],
    gram_tt: np.ndarray,
    walks: Walks,
    kept: Walks,
    settings: Settings,
) -> Iterator[Row]:
    """Mean |cosine| between neighbouring checkpoints' vectors; 1 where nothing rotates."""
    if not gram_tt.diagonal().all():
        return  # a zero update has no first vector
    draws, seed = settings.permutations, settings.seed
    order = shuffles(len(gram_tt), draws, seed)
    for side, x_td in vectors.items():
        cosine = np.abs(x_td @ x_td.T)
        drawn = {
            "permutation": cosine[order[:, 1:], order[:, :-1]].mean(1),
            "noise": noise_cosine(x_td.shape[1], len(x_td) - 1, draws, seed).draws,
            "random-walk": getattr(walks, side).mean(1),
            "bf16": getattr(kept, side).mean(1),
        }
        for name, found in drawn.items():
            measure = f"cosine_{side}1"
            yield from _rows({measure: float(np.diag(cosine, 1).mean())}, name, {measure: found})


def _rows(values: Mapping[str, float], null: str, draws: Draws) -> Iterator[Row]:
    """A row for each measure that was drawn."""
    for measure, found in draws.items():
        yield _row(measure, values[measure], Null(null, found))


def _row(measure: str, value: float, null: Null) -> Row:
    q05, q50, q95 = (float(q) for q in np.quantile(null.draws, [0.05, 0.5, 0.95]))
    found = {"null_q05": q05, "null_q50": q50, "null_q95": q95}
    p = null.p_value(value, smaller=measure in ERRORS)
    return {"measure": measure, "value": value, "null": null.name, **found, "p": p}


def _baseline(measure: str, value: float, keep: float) -> Row:
    """A hold-out error also stands beside that of keeping the last weights or accuracy."""
    found = {"null_q05": keep, "null_q50": keep, "null_q95": keep, "p": float("nan")}
    return {"measure": measure, "value": value, "null": "keep-last", **found}
