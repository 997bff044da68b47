"""How far forecast weights are from those that training reached.

Where P is the forecast update, D the trained one of the target step and L that of the window's last
checkpoint, per matrix and over all matrices of the paper's scope:

    cosine          <P, D> / (|P| |D|)
    norm_ratio      |P| / |D|
    relative_error  |P - D| / |L - D|: 1 is as good as keeping the last weights, below 1 is better

RELEX (arXiv 2605.21468, appendix B) reports the first two. For a blend everything follows from the
run's gram. A low-rank part's products with updates need the weights; each is read once for all
forecasts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from alpharl.checkpoints.differences import tell
from alpharl.checkpoints.index import read_index
from alpharl.errors import MethodError
from alpharl.forecasting.contract import Blend
from alpharl.progress import SILENT, Progress
from alpharl.spectra.gram import Gram
from alpharl.spectra.scope import Matrix, layer_of, matrices, module_of
from alpharl.variants.store import read_adapter, read_variant

if TYPE_CHECKING:
    from alpharl.variants.updates import Updates

NUMBERS = ["cosine", "norm_ratio", "relative_error"]
COLUMNS = ["forecast", "target_step", "tensor", "layer", "module", *NUMBERS]
OVERALL = "overall"
"""Stands for the tensor in the row over all matrices of a forecast."""

Low = tuple[np.ndarray, np.ndarray]
"""B (m, r) and A (r, n) of the matrix B A."""


@dataclass(frozen=True)
class Stored:
    """A forecast as its folder holds it."""

    name: str
    base: Path
    checkpoints: dict[int, Path]
    steps: list[int]
    """The window's steps, and the target as the last of them."""
    blend: Blend
    adapter: dict[str, Low]

    def weights(self, matrix: Matrix) -> np.ndarray:
        """(T + 1,) weight of each step's update; of a matrix, or of the tensor that holds it."""
        row = self.blend.get(matrix.name, self.blend.get(matrix.tensor, {}))
        return np.array([row.get(step, 0.0) for step in self.steps])

    def low(self, matrix: Matrix) -> Low | None:
        """The low-rank part of a matrix: its own, or its rows of a fused one's."""
        if matrix.name in self.adapter or matrix.tensor not in self.adapter:
            return self.adapter.get(matrix.name)
        b_mr, a_rn = self.adapter[matrix.tensor]
        first = matrix.start // matrix.columns
        return b_mr[first : first + matrix.rows], a_rn


def truth_table(
    folders: Sequence[Path],
    targets: Mapping[int, Path],
    gram: Gram,
    progress: Progress = SILENT,
) -> pd.DataFrame:
    """Compare forecasts of one run with the checkpoints that they forecast.

    Args:
        folders: of the forecasts; their names stand in the table.
        targets: model folder of each target step.
        gram: of the run, over the windows' steps and the targets.
        progress: told of each matrix.

    Columns: forecast, target_step, tensor, layer, module, cosine, norm_ratio, relative_error; a row
    per matrix of the paper's scope, and one over all of them. A ratio to nothing is nan. A forecast
    that is undefined or of logits has no rows.

    Raises:
        CheckpointError: a missing folder, other tensors than the base, or a value not finite.
        MethodError: not forecasts of one run, a target that is not given or that the window holds,
            or a gram that lacks a step or a matrix.
    """
    read = [read_forecast(folder, targets) for folder in folders]
    defined = [forecast for forecast in read if forecast is not None]
    _require_one_run(defined)
    if defined:
        tell(progress, defined[0].base, targets)
    scope = matrices(read_index(defined[0].base), "paper") if defined else {}
    products: list[list[tuple[float, ...]]] = [[] for _ in defined]
    with ExitStack() as stack:
        updates = _updates(defined, targets, stack)
        for done, (name, matrix) in enumerate(scope.items(), start=1):
            for forecast, rows in zip(defined, products, strict=True):
                rows.append(_products(forecast, matrix, gram, updates))
            progress.step("truth", done, len(scope), name)
    return pd.DataFrame(
        [row for f, p in zip(defined, products, strict=True) for row in _rows(f, scope, p)],
        columns=COLUMNS,
    ).astype(dict.fromkeys(NUMBERS, float))


def read_forecast(folder: Path, targets: Mapping[int, Path]) -> Stored | None:
    """Read a forecast; None where there are no weights: an undefined one, or one of logits.

    Raises:
        CheckpointError: the folder holds no complete variant.
        MethodError: it is no forecast, its target is not among the given, or was observed.
    """
    variant = read_variant(folder)
    meta = variant.meta
    if meta.get("kind") != "forecast":
        raise MethodError(f"{folder}: found kind '{meta.get('kind')}', expected a forecast")
    if meta.get("target_accuracy") is not None:
        raise MethodError(
            f"{folder}: forecasts accuracy {meta['target_accuracy']:g}, expected a forecast of a "
            "step; no checkpoint holds the weights of an accuracy"
        )
    window, target = meta["window_steps"], meta["target_step"]
    if target <= window[-1]:
        raise MethodError(
            f"{folder}: found target step {target} in a window that ends at step {window[-1]}, "
            "expected a later one; keeping the last weights cannot be beaten there"
        )
    if target not in targets:
        raise MethodError(
            f"{folder}: forecasts step {target}, expected one of {sorted(targets)}; give the "
            "checkpoint of the step that was forecast"
        )
    if meta["undefined"] or variant.logits:
        return None
    adapter = read_adapter(variant)
    name, steps = folder.resolve().name, [*window, target]
    return Stored(name, variant.base, variant.checkpoints, steps, variant.blend, adapter)


def _require_one_run(forecasts: Sequence[Stored]) -> None:
    bases = {str(forecast.base.resolve()) for forecast in forecasts}
    names = sorted(forecast.name for forecast in forecasts)
    if len(bases) > 1 or len(set(names)) < len(names):
        raise MethodError(
            f"found forecasts {names} of bases {sorted(bases)}, expected different names and one "
            "base; compare one run at a time"
        )


def _updates(
    forecasts: Sequence[Stored], targets: Mapping[int, Path], stack: ExitStack
) -> Updates | None:
    """The checkpoints' updates; None where no forecast has a low-rank part."""
    if not any(forecast.adapter for forecast in forecasts):
        return None
    # Torch only here: blends are compared without it.
    from alpharl.variants.updates import Updates

    folders = {step: path for f in forecasts for step, path in f.checkpoints.items()}
    return stack.enter_context(Updates(forecasts[0].base, folders | dict(targets)))


def _products(
    forecast: Stored, matrix: Matrix, gram: Gram, updates: Updates | None
) -> tuple[float, ...]:
    """|P|^2, |D|^2, <P, D>, |P - D|^2 and |L - D|^2 of one matrix."""
    if matrix.name not in gram.tensors:
        raise MethodError(f"{gram.name}: holds no {matrix.name}; give all of the run's gram files")
    of_matrix = replace(gram, tensors={matrix.name: gram.tensors[matrix.name]})
    window_gram = of_matrix.upto(forecast.steps)
    # The low-rank part stands behind the updates, as if it were one of them.
    size = len(forecast.steps)
    every, unit = np.zeros((size + 1, size + 1)), np.eye(size + 1)
    every[:size, :size] = window_gram.tensors[matrix.name]
    low, weights = forecast.low(matrix), forecast.weights(matrix)
    if low is not None and updates is not None:
        for t in {*np.flatnonzero(weights).tolist(), size - 1}:
            every[t, -1] = every[-1, t] = updates.inner(matrix, forecast.steps[t], *low)
        every[-1, -1] = float(np.sum((low[0].T @ low[0]) * (low[1] @ low[1].T)))
    p, d, last = np.append(weights, low is not None), unit[size - 1], unit[size - 2]
    pairs = [(p, p), (d, d), (p, d), (p - d, p - d), (last - d, last - d)]
    return tuple(float(x @ every @ y) for x, y in pairs)


def _rows(
    forecast: Stored, scope: Mapping[str, Matrix], products: Sequence[tuple[float, ...]]
) -> Iterator[dict[str, object]]:
    """A row per matrix, and one of their sums."""
    head = {"forecast": forecast.name, "target_step": forecast.steps[-1]}
    for name, sums in zip(scope, products, strict=True):
        where = {"tensor": name, "layer": layer_of(name), "module": module_of(name)}
        yield head | where | _numbers(sums)
    overall = {"tensor": OVERALL, "layer": -1, "module": OVERALL}
    yield head | overall | _numbers(np.sum(products, axis=0))


def _numbers(products: Sequence[float]) -> dict[str, float]:
    """The ratios of one row."""
    # Differences of large numbers: rounding may leave a little less than nothing.
    predicted, true, _, error, keep = np.sqrt(np.clip(products, 0, None)).tolist()
    ratios = [(float(products[2]), predicted * true), (predicted, true), (error, keep)]
    values = [a / b if b > 0 else float("nan") for a, b in ratios]
    return dict(zip(NUMBERS, values, strict=True))
