"""The table of a run's trajectory fits: every number beside its null models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from alpharl.dynamics.align import align_backwards
from alpharl.dynamics.holdout import holdout_size, line_holdout, pls_holdout
from alpharl.dynamics.nulls import (
    Null,
    line_null,
    noise_cosine,
    noise_grams,
    noise_pls,
    permuted,
    walk_grams,
    walk_pls,
)
from alpharl.dynamics.pls import pls_left_out_r2, pls_r2
from alpharl.dynamics.temporal import line_r2, temporal_svd
from alpharl.errors import MethodError, UndefinedForecast
from alpharl.spectra.gram import Gram
from alpharl.spectra.lowrank import Factors
from alpharl.spectra.scope import layer_of, module_of

Row = dict[str, object]
COLUMNS = [
    "tensor", "layer", "module", "measure", "value",
    "null", "null_q05", "null_q50", "null_q95", "p",
]  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Null draws, hold-out share and seed."""

    permutations: int = 200
    holdout: float = 0.6
    seed: int = 0


def dynamics_table(
    factors: Mapping[int, Mapping[str, Factors]],
    gram: Gram,
    accuracy: Mapping[int, float],
    settings: Settings,
    progress: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Fits of every matrix's trajectory, one row per (tensor, measure, null model).

    Args:
        factors: per step, per tensor.
        gram: of the same run; only tensors with factors are used.
        accuracy: validation accuracy per step; the factors' steps must be among them.
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
        measured = [
            *_pls_rows(u_td, y_t, settings),
            *_line_rows(products[name], clock, y_t, settings),
            *_rotation_rows({"u1": u_td, "v1": v_td}, products[name], settings),
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


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Means over matrices: each measure's value beside its null's quantiles, and share p < 0.05."""
    grouped = table.groupby(["measure", "null"])
    means = grouped[["value", "null_q05", "null_q50", "null_q95"]].mean()
    below = grouped["p"].apply(lambda p: (p < 0.05).mean() if p.notna().any() else float("nan"))
    return means.assign(**{"p<0.05": below})


def _pls_rows(u_td: np.ndarray, y_t: np.ndarray, settings: Settings) -> Iterator[Row]:
    """PLS of u1 on accuracy, in sample and held out; nothing where accuracy does not vary."""
    try:
        value = pls_r2(u_td, y_t)
        fitted = holdout_size(len(y_t), settings.holdout)
        error, keep = pls_holdout(u_td, y_t, fitted)
    except UndefinedForecast:
        return
    draws, seed = settings.permutations, settings.seed
    yield _row("pls_r2", value, permuted(lambda y: pls_r2(u_td, y), y_t, draws, seed))
    yield _row("pls_r2", value, noise_pls(y_t, u_td.shape[1], draws, seed))
    yield _row("pls_r2", value, walk_pls(lambda x: pls_r2(x, y_t), u_td, draws, seed))
    # Leaving one out does not make a drifting path independent of its neighbours either.
    # It costs a fit per checkpoint, so a fifth of the draws have to do.
    left_out = walk_pls(lambda x: pls_left_out_r2(x, y_t), u_td, max(draws // 5, 19), seed)
    yield _row("pls_left_out_r2", pls_left_out_r2(u_td, y_t), left_out)
    yield _baseline("holdout_pls_mae", error, keep)


def _line_rows(
    gram_tt: np.ndarray, steps: np.ndarray, y_t: np.ndarray, settings: Settings
) -> Iterator[Row]:
    """Temporal direction and its line against both clocks; nothing for a frozen tensor."""
    first = temporal_svd(gram_tt, 1)
    if not len(first.share):
        return
    draws, seed = settings.permutations, settings.seed
    coefficient = first.coefficients[:, 0]
    clocks = {"line_r2": steps} | ({"line_accuracy_r2": y_t} if np.ptp(y_t) else {})
    values = {measure: line_r2(clock, coefficient) for measure, clock in clocks.items()}
    for measure, clock in clocks.items():
        null = permuted(lambda t: line_r2(t, coefficient), clock, draws, seed)
        yield _row(measure, values[measure], null)
    drawn = {
        "random-walk": walk_grams(gram_tt, draws, seed),
        "noise": noise_grams(gram_tt, draws, seed),
    }
    for name, grams in drawn.items():
        share, lines = line_null(name, grams, list(clocks.values()))
        yield _row("temporal_share", float(first.share[0]), share)
        for measure, null in zip(clocks, lines, strict=True):
            yield _row(measure, values[measure], null)
    ratio = line_holdout(gram_tt, steps, holdout_size(len(steps), settings.holdout))
    yield _baseline("holdout_line_ratio", ratio, 1.0)


def _rotation_rows(
    vectors: Mapping[str, np.ndarray], gram_tt: np.ndarray, settings: Settings
) -> Iterator[Row]:
    """Mean |cosine| between neighbouring checkpoints' vectors; 1 where nothing rotates."""
    if not gram_tt.diagonal().all():
        return  # a zero update has no first vector
    for side, x_td in vectors.items():
        value = float(np.abs(np.sum(x_td[1:] * x_td[:-1], axis=1)).mean())
        pairs, dimensions = len(x_td) - 1, x_td.shape[1]
        null = noise_cosine(dimensions, pairs, settings.permutations, settings.seed)
        yield _row(f"cosine_{side}", value, null)


def _row(measure: str, value: float, null: Null) -> Row:
    q05, q50, q95 = (float(q) for q in np.quantile(null.draws, [0.05, 0.5, 0.95]))
    found = {"null_q05": q05, "null_q50": q50, "null_q95": q95, "p": null.p_value(value)}
    return {"measure": measure, "value": value, "null": null.name, **found}


def _baseline(measure: str, value: float, keep: float) -> Row:
    """A hold-out error stands beside one number, that of keeping the last weights or accuracy."""
    found = {"null_q05": keep, "null_q50": keep, "null_q95": keep, "p": float("nan")}
    return {"measure": measure, "value": value, "null": "keep-last", **found}
