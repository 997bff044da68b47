"""Fits of one matrix's trajectory, each number with draws of its null models.

A measured number and its draws come from the same arithmetic, the run being a batch of one. Where
the two differ is what has no fit: a draw is read as "no signal" and always a number (the mean is
predicted, nothing is gained), while the measured number is nan or left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from alpharl.dynamics.blocks import Walks
from alpharl.dynamics.lines import leading, line_holdout, line_r2
from alpharl.dynamics.nulls import (
    Null,
    batches,
    noise_cosine,
    noise_grams,
    noise_vectors,
    shuffles,
    sphere_walks,
    turns,
    walk_grams,
)
from alpharl.dynamics.pls import has_fit, pls_holdout, pls_left_out_r2, pls_r2
from alpharl.errors import MethodError

Draws = dict[str, np.ndarray]
"""Draws (B,) of each measure under one null model."""
KEEP_LAST = "keep-last"
"""The hold-out error of keeping the last weights or accuracy: one number, and no null model."""


@dataclass(frozen=True)
class Settings:
    """Null draws, hold-out share and seed."""

    permutations: int = 200
    holdout: float = 0.6
    seed: int = 0

    def __post_init__(self) -> None:
        if self.permutations < 1 or not 0 < self.holdout < 1 or self.seed < 0:
            raise MethodError(
                f"dynamics: found {self.permutations} permutations, holdout {self.holdout:g} and "
                f"seed {self.seed}, expected at least 1, a share between 0 and 1, and 0 or more"
            )

    @property
    def walks(self) -> int:
        """Walks of a block, which cost thousands of entries each: a fifth of the draws, or 20."""
        return min(max(self.permutations // 5, 20), 100)

    def fitted(self, count: int) -> int:
        """Number of checkpoints that are fitted: at least two, and one at least to judge."""
        return min(max(2, round(count * self.holdout)), count - 1)


@dataclass(frozen=True)
class Measured:
    """A measured number and its draws under one null model."""

    measure: str
    value: float
    """nan where it is not defined."""
    null: Null


def measure_pls(
    u_td: np.ndarray, y_t: np.ndarray, stored: Walks, settings: Settings
) -> Iterator[Measured]:
    """PLS of u1 on accuracy, in sample and held out; nothing where the fitted part does not vary.

    The left-out R2 is nan where all accuracies or vectors but one are the same.

    Args:
        u_td: (T, d) first left singular vectors, signs continuous in time.
        y_t: (T,) accuracies.
        stored: walks of a block as bfloat16 stores them.
        settings: null draws, hold-out share and seed.
    """
    fitted = settings.fitted(len(y_t))
    if not has_fit(u_td[:fitted], y_t[:fitted]):
        return
    batch_of_one = _pls_draws([(u_td[None], y_t[None])], fitted)
    values = {measure: float(value) for measure, (value,) in batch_of_one.items()}
    if not all(has_fit(u_td[others], y_t[others]) for others in ~np.eye(len(y_t), dtype=bool)):
        values["pls_left_out_r2"] = float("nan")
    for null, draws in _pls_nulls(u_td, y_t, stored, settings):
        yield from _measured(values, null, draws)
    keep = np.abs(y_t[fitted - 1] - y_t[fitted:]).mean()
    yield from _measured(values, KEEP_LAST, {"holdout_pls_mae": np.array([keep])})


def _pls_nulls(
    u_td: np.ndarray, y_t: np.ndarray, stored: Walks, settings: Settings
) -> Iterator[tuple[str, Draws]]:
    """Name and draws of each null model of the PLS measures."""
    (count, dimensions), draws, seed = u_td.shape, settings.permutations, settings.seed
    fitted, shuffled = settings.fitted(count), y_t[shuffles(count, draws, seed)]
    sizes = np.cumsum(list(batches(draws, count * count * dimensions)))[:-1]
    yield "permutation", _pls_draws(((u_td, y_bt) for y_bt in np.split(shuffled, sizes)), fitted)
    yield "noise", _noise_pls(tuple(y_t.tolist()), dimensions, settings)
    angles = np.tile(turns(u_td), (draws, 1))
    for null, turned in ("random-walk", angles), ("bf16", np.arccos(np.clip(stored.u, 0, 1))):
        walks = sphere_walks(turned, dimensions, seed)
        yield null, _pls_draws(((x_btd, y_t) for x_btd in walks), fitted)


@lru_cache(maxsize=16)
def _noise_pls(accuracies: tuple[float, ...], dimensions: int, settings: Settings) -> Draws:
    """Independent vectors know nothing of their tensor, so tensors of one height share them."""
    count, y_t = len(accuracies), np.array(accuracies)
    drawn = noise_vectors(count, dimensions, settings.permutations, settings.seed)
    return _pls_draws(((x_btd, y_t) for x_btd in drawn), settings.fitted(count))


def _pls_draws(pairs: Iterable[tuple[np.ndarray, np.ndarray]], fitted: int) -> Draws:
    """The PLS measures of batches of trajectories and accuracies."""
    measures: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "pls_r2": pls_r2,
        "pls_left_out_r2": pls_left_out_r2,
        "holdout_pls_mae": partial(pls_holdout, fitted=fitted),
    }
    parts = [{name: measure(x, y) for name, measure in measures.items()} for x, y in pairs]
    return {name: np.concatenate([part[name] for part in parts]) for name in measures}


def measure_lines(
    gram_tt: np.ndarray, steps: np.ndarray, y_t: np.ndarray, stored: Walks, settings: Settings
) -> Iterator[Measured]:
    """Temporal direction and its line against both clocks; nothing for a frozen tensor.

    There is no line against accuracies that do not vary. The hold-out ratio is nan where the fitted
    weights never left the base or the later ones no longer move.

    Args:
        gram_tt: (T, T) inner products of the updates.
        steps: (T,) the clock.
        y_t: (T,) accuracies.
        stored: walks of a block as bfloat16 stores them.
        settings: null draws, hold-out share and seed.
    """
    if not gram_tt.any():
        return
    clocks = {"line_r2": steps} | ({"line_accuracy_r2": y_t} if np.ptp(y_t) else {})
    batch_of_one = _line_draws(gram_tt[None], steps, clocks, settings)
    values = {measure: float(value) for measure, (value,) in batch_of_one.items()}
    order = shuffles(len(steps), settings.permutations, settings.seed)
    nulls = {
        "permutation": gram_tt[order[:, :, None], order[:, None, :]],
        "noise": noise_grams(gram_tt, settings.permutations, settings.seed),
        "random-walk": walk_grams(gram_tt, settings.permutations, settings.seed),
        "bf16": stored.grams,
    }
    for null, grams in nulls.items():
        draws = _line_draws(grams, steps, clocks, settings)
        if null == "permutation":
            del draws["temporal_share"]  # it does not depend on the order
        # Where a draw does not move, nothing is gained or lost.
        draws["holdout_line_ratio"] = np.nan_to_num(draws["holdout_line_ratio"], nan=1.0)
        yield from _measured(values, null, draws)
    yield from _measured(values, KEEP_LAST, {"holdout_line_ratio": np.ones(1)})


def _line_draws(
    grams_btt: np.ndarray, steps: np.ndarray, clocks: Mapping[str, np.ndarray], settings: Settings
) -> Draws:
    """The measures of a batch of grams, the line's R2 by each clock."""
    share, first = leading(grams_btt)
    ratio = line_holdout(grams_btt, steps, settings.fitted(len(steps)))
    lines = {measure: line_r2(clock, first) for measure, clock in clocks.items()}
    return {**lines, "holdout_line_ratio": ratio, "temporal_share": share}


def measure_rotation(
    vectors: Mapping[str, np.ndarray],
    gram_tt: np.ndarray,
    walks: Walks,
    stored: Walks,
    settings: Settings,
) -> Iterator[Measured]:
    """Mean |cosine| between neighbouring checkpoints' vectors; 1 where nothing rotates.

    Nothing where an update is zero, which has no first vector.

    Args:
        vectors: first singular vectors (T, d) by side, "u" and "v".
        gram_tt: (T, T) inner products of the updates.
        walks: of a block.
        stored: the same walks as bfloat16 stores them.
        settings: null draws and seed.
    """
    if not gram_tt.diagonal().all():
        return
    draws, seed = settings.permutations, settings.seed
    order = shuffles(len(gram_tt), draws, seed)
    for side, x_td in vectors.items():
        cosine = np.abs(x_td @ x_td.T)
        values = {f"cosine_{side}1": float(np.diag(cosine, 1).mean())}
        nulls = {
            "permutation": cosine[order[:, 1:], order[:, :-1]].mean(1),
            "noise": noise_cosine(x_td.shape[1], len(x_td) - 1, draws, seed).draws,
            "random-walk": getattr(walks, side).mean(1),
            "bf16": getattr(stored, side).mean(1),
        }
        for null, cosines in nulls.items():
            yield from _measured(values, null, dict.fromkeys(values, cosines))


def _measured(values: Mapping[str, float], null: str, draws: Draws) -> Iterator[Measured]:
    """One for each measure that was drawn."""
    for measure, numbers in draws.items():
        yield Measured(measure, values[measure], Null(null, numbers))
