"""The table of a run's trajectory fits: every number beside its null models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alpharl.dynamics.align import align_backwards
from alpharl.dynamics.holdout import holdout_size, line_holdout, pls_holdout
from alpharl.dynamics.nulls import Null, noise_pls, permuted, walk_line
from alpharl.dynamics.pls import pls_r2
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
    for name in factors[steps[0]]:
        vectors = np.stack([factors[step][name].low.u[:, 0] for step in steps])
        signed = vectors * align_backwards(vectors)[:, None]
        measured = [
            *_pls_rows(signed, y_t, settings),
            *_line_rows(gram.upto(steps).tensors[name], np.array(steps, np.float64), settings),
        ]
        rows += [
            {"tensor": name, "layer": layer_of(name), "module": module_of(name)} | m
            for m in measured
        ]
        progress(f"{name} done")
    return pd.DataFrame(rows, columns=COLUMNS)


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
    yield _baseline("holdout_pls_mae", error, keep)


def _line_rows(gram_tt: np.ndarray, steps: np.ndarray, settings: Settings) -> Iterator[Row]:
    """Temporal direction and its line against the step; nothing for a frozen tensor."""
    first = temporal_svd(gram_tt, 1)
    if not len(first.share):
        return
    draws, seed = settings.permutations, settings.seed
    coefficient = first.coefficients[:, 0]
    share_walk, line_walk = walk_line(gram_tt, steps, draws, seed)
    line = line_r2(steps, coefficient)
    yield _row("line_r2", line, permuted(lambda t: line_r2(t, coefficient), steps, draws, seed))
    yield _row("line_r2", line, line_walk)
    yield _row("temporal_share", float(first.share[0]), share_walk)
    ratio = line_holdout(gram_tt, steps, holdout_size(len(steps), settings.holdout))
    yield _baseline("holdout_line_ratio", ratio, 1.0)


def _row(measure: str, value: float, null: Null) -> Row:
    q05, q50, q95 = (float(q) for q in np.quantile(null.draws, [0.05, 0.5, 0.95]))
    found = {"null_q05": q05, "null_q50": q50, "null_q95": q95, "p": null.p_value(value)}
    return {"measure": measure, "value": value, "null": null.name, **found}


def _baseline(measure: str, value: float, keep: float) -> Row:
    """A hold-out error stands beside one number, that of keeping the last weights or accuracy."""
    found = {"null_q05": keep, "null_q50": keep, "null_q95": keep, "p": float("nan")}
    return {"measure": measure, "value": value, "null": "keep-last", **found}
