"""The table of a run's trajectory fits: every number next to its null models.

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

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from alpharl.dynamics import blocks
from alpharl.dynamics.align import align_backwards
from alpharl.dynamics.blocks import Block
from alpharl.dynamics.fits import (
    KEEP_LAST,
    Measured,
    Settings,
    measure_lines,
    measure_pls,
    measure_rotation,
)
from alpharl.dynamics.nulls import step_lengths
from alpharl.errors import MethodError
from alpharl.progress import SILENT, Progress
from alpharl.spectra.gram import Gram
from alpharl.spectra.lowrank import Factors
from alpharl.spectra.scope import layer_of, module_of

COLUMNS = [
    "tensor", "layer", "module", "measure", "value",
    "null", "null_q05", "null_q50", "null_q95", "p",
]  # fmt: skip
ERRORS = ("holdout_pls_mae", "holdout_line_ratio")
"""Measures that are better when smaller: p counts the draws that are at least as small."""


def dynamics_table(
    factors: Mapping[int, Mapping[str, Factors]],
    gram: Gram,
    accuracy: Mapping[int, float],
    base: Mapping[str, Block],
    settings: Settings,
    progress: Progress = SILENT,
) -> pd.DataFrame:
    """Fits of every matrix's trajectory, one row per (tensor, measure, null model).

    Args:
        factors: per step, per tensor.
        gram: of the same run; only tensors with factors are used.
        accuracy: validation accuracy per step; the factors' steps must be among them.
        base: sampled weights of each tensor at step 0 (`sample_blocks`).
        settings: null draws, hold-out share and seed.
        progress: told of each matrix.

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
    y_t = np.array([accuracy[step] for step in steps], np.float64)
    products, clock = gram.upto(steps).tensors, np.array(steps, np.float64)
    rows: list[dict[str, object]] = []
    for done, name in enumerate(factors[steps[0]], start=1):
        vectors = {side: _signed(factors, name, side) for side in ("u", "v")}
        measured = _measure(vectors, products[name], clock, y_t, base[name], settings)
        matrix = {"tensor": name, "layer": layer_of(name), "module": module_of(name)}
        rows += [matrix | _row(number) for number in measured]
        progress.step("dynamics", done, len(factors[steps[0]]), name)
    return pd.DataFrame(rows, columns=COLUMNS)


def _signed(factors: Mapping[int, Mapping[str, Factors]], name: str, side: str) -> np.ndarray:
    """(T, d): the first singular vector of each step, signs continuous in time."""
    vectors = np.stack(
        [getattr(matrices[name].low, side)[:, 0] for _, matrices in sorted(factors.items())]
    )
    signed: np.ndarray = vectors * align_backwards(vectors)[:, None]
    return signed


def _measure(
    vectors: Mapping[str, np.ndarray],
    gram_tt: np.ndarray,
    clock: np.ndarray,
    y_t: np.ndarray,
    block: Block,
    settings: Settings,
) -> Iterator[Measured]:
    """All that is measured of one matrix."""
    updates = blocks.walk_block(block, step_lengths(gram_tt), settings.walks, settings.seed)
    walks, stored = blocks.look(updates), blocks.look(blocks.stored(block, updates))
    yield from measure_pls(vectors["u"], y_t, stored, settings)
    yield from measure_lines(gram_tt, clock, y_t, stored, settings)
    yield from measure_rotation(vectors, gram_tt, walks, stored, settings)


def _row(number: Measured) -> dict[str, object]:
    q05, q50, q95 = (float(q) for q in np.quantile(number.null.draws, [0.05, 0.5, 0.95]))
    p = float("nan")
    if number.null.name != KEEP_LAST:
        p = number.null.p_value(number.value, smaller=number.measure in ERRORS)
    return {
        "measure": number.measure,
        "value": number.value,
        "null": number.null.name,
        "null_q05": q05,
        "null_q50": q50,
        "null_q95": q95,
        "p": p,
    }
