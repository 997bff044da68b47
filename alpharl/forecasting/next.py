"""`next`: a rank-1 jump ahead, by networks trained on the jumps inside the window.

NExt (arXiv 2604.11446, released code). For a checkpoint t of the window, the rank-1 factors of
W(t) - W(0) and of W(t) - W(t - 1) are given, those of W(t + h) - W(t) are wanted, with h counted in
checkpoints. A network per kind and length of vector (`next_net`) learns this from the pairs inside
the window, over all matrices at once; asked at the last checkpoint, it gives sigma u v^T, u and v
made unit vectors. sigma is a vector of length 1 like any other, and so small a network, barely
moved by so small a number, gives all matrices nearly the same one. Here as in the released code,
but for

* the signs of u and v: free there; here continuous over the window and fixed by its last update;
* matrices of the paper's scope only: there also embeddings, norms and biases;
* differences of checkpoints: there of the weights; here of the top `rank` triplets of two updates.
  That is exact for a LoRA run of at most this rank. Otherwise small differences of large updates
  lose what lies outside both; `kept` says how much of the last update was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from alpharl.bounds import MOST_JOBS, Draws, Rank, Seed
from alpharl.dynamics.align import align_backwards
from alpharl.errors import MethodError
from alpharl.forecasting.alpharl_step import recompress
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.method import Method, Multiple
from alpharl.forecasting.next_net import predict_ahead
from alpharl.spectra.depth import Depth
from alpharl.spectra.lowrank import LowRank
from alpharl.spectra.scope import in_paper_scope

ROUNDING = 1e-6
"""A difference below this share of the updates is the rounding of their float32 factors."""
PARTS = ("u", "s", "v")
Rows = Mapping[str, np.ndarray]
"""Arrays of u, s and v by their letters."""


class Next(Method):
    """Rank-1 jump ahead of the last checkpoint, predicted by networks trained on the window."""

    source = "NExt, arXiv 2604.11446, released code"
    needs = frozenset({"factors"})
    cost = "trains a network per vector length: a minute of one core for 1M parameters"
    method: Literal["next"] = "next"
    horizon: Annotated[int, Field(gt=0, le=MOST_JOBS)] | None = None
    """How many checkpoints ahead a jump leads; default: half of the window's."""
    coefficient: Multiple | None = None
    """Factor of the jump; default: steps to the target / steps of the horizon. Published: the best
    of 0.5, 1, ..., 4 by evaluation."""
    rank: Rank = 8
    """Triplets read of each update; differences of checkpoints are made from them."""
    epochs: Draws = 1000
    """Training steps of each network, each on all pairs of checkpoints."""
    seed: Seed = 0
    """Of the networks' initial weights."""

    @property
    def depth(self) -> Depth:
        """As many triplets as `rank` says."""
        return Depth(self.rank)

    @property
    def quick(self) -> bool:
        """Training networks takes minutes."""
        return False

    def require_steps(self, steps: Sequence[int]) -> None:
        """Refuse a window without two checkpoints that lie the horizon apart."""
        _horizon(steps, self)

    def forecast(self, window: Window) -> Prediction:
        """Last checkpoint (all tensors) + the predicted rank-1 jump of the paper's matrices.

        Raises:
            MethodError: no pair of checkpoints lies a horizon apart, or too few triplets are
                stored.
        """
        horizon = _horizon(window.steps, self)
        coefficient = self.coefficient
        if coefficient is None:
            ahead = float(np.subtract(window.steps[horizon:], window.steps[:-horizon]).mean())
            coefficient = (window.need_target_step() - window.last) / ahead
        updates, share_read = _updates(window, self.rank)
        tracks = {name: rank_one_track(lows, horizon) for name, lows in updates.items()}
        jumps, losses = _predict(tracks, self)
        fit = {
            "horizon": horizon,
            "coefficient": coefficient,
            "loss": losses,
            "sigma": {name: float(jump["s"][0]) for name, jump in jumps.items()},
            "kept": share_read,
        }
        adapter = {name: _jump(jump, coefficient) for name, jump in jumps.items()}
        return Prediction({name: {window.last: 1.0} for name in window.tensors}, adapter, fit)


@dataclass(frozen=True)
class Track:
    """Rank-1 factors of one matrix's changes; of u, s and v alike, with d = m, 1 or n."""

    given: Rows
    """(T, 2, d): of the change since the base, and of that since the checkpoint before."""
    ahead: Rows
    """(T - h, d): of the change up to the horizon."""


def rank_one_track(updates: Sequence[LowRank], horizon: int) -> Track:
    """The rank-1 factors of a matrix's changes, from its updates at each checkpoint.

    The change before the first checkpoint is its update. An SVD fixes u and v up to one common
    sign. It is chosen so that (u, v) turns little from each checkpoint to the next, and ends near
    the last update's, whose largest entry of u is positive. A change of nothing has zero vectors.
    """
    zero = updates[0].scaled(0.0)
    total = [_change(zero, low) for low in updates]
    recent = [total[0], *(_change(a, b) for a, b in pairwise(updates))]
    ahead = [_change(a, b) for a, b in zip(updates[:-horizon], updates[horizon:], strict=True)]
    u, v = total[-1].u[:, 0], total[-1].v[:, 0]
    end = np.concatenate([u, v]) * np.sign(u[np.abs(u).argmax()])
    of_total, of_recent, of_ahead = (_signed(changes, end) for changes in (total, recent, ahead))
    given = {part: np.stack([of_total[part], of_recent[part]], axis=1) for part in PARTS}
    return Track(given, of_ahead)


def _change(before: LowRank, after: LowRank) -> LowRank:
    """The best rank-1 matrix of a difference; zero vectors where there is none."""
    change = recompress([after, before.scaled(-1.0)]).top(1)
    if change.s[0] <= ROUNDING * max(after.s[0], before.s[0]):
        return LowRank(0 * change.u, 0 * change.s, 0 * change.v)
    return change


def _signed(changes: Sequence[LowRank], end: np.ndarray) -> Rows:
    """Factors as rows, signs continuous up to the stacked vectors (m + n,) that end them."""
    u, v = (np.stack([getattr(low, part)[:, 0] for low in changes]) for part in "uv")
    signs = align_backwards(np.vstack([np.hstack([u, v]), end]))[:-1, None]
    return {"u": signs * u, "s": np.stack([low.s for low in changes]), "v": signs * v}


def _horizon(steps: Sequence[int], options: Next) -> int:
    count = len(steps)
    horizon = options.horizon or max(1, count // 2)
    if horizon >= count:
        raise MethodError(
            f"found {count} checkpoints in the window, expected at least {horizon + 1}, for a pair "
            f"that lies the horizon of {horizon} apart; widen the window or lower the horizon"
        )
    return horizon


def _updates(window: Window, rank: int) -> tuple[dict[str, list[LowRank]], dict[str, float]]:
    """Matrices that have moved: their updates at each checkpoint, and the last one's share read."""
    factors = window.need_factors(rank)
    updates, share_read = {}, {}
    for name, last in factors[window.last].items():
        if in_paper_scope(name) and last.norm > 0:
            updates[name] = [at[name].low.top(rank) for at in factors.values()]
            share_read[name] = float(np.sum(np.square(last.low.s[:rank])) / last.norm**2)
    return updates, share_read


def _predict(
    tracks: Mapping[str, Track], options: Next
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, list[float]]]:
    """Per matrix, the predicted u (m,), s (1,) and v (n,); per network, its losses."""
    jumps: dict[str, dict[str, np.ndarray]] = {name: {} for name in tracks}
    losses = {}
    for part in PARTS:
        alike: dict[int, list[str]] = {}
        for name, track in tracks.items():
            alike.setdefault(track.ahead[part].shape[1], []).append(name)
        for length, names in alike.items():
            same = [tracks[name] for name in names]
            ahead = [track.ahead[part] for track in same]
            known = [t.given[part][: len(a)] for t, a in zip(same, ahead, strict=True)]
            last = np.stack([track.given[part][-1] for track in same])
            rows, losses[f"{part} of length {length}"] = predict_ahead(
                np.concatenate(known), np.concatenate(ahead), last, options.epochs, options.seed
            )
            for name, row in zip(names, rows, strict=True):
                jumps[name][part] = row
    return jumps, losses


def _jump(rows: Rows, coefficient: float) -> LowRank:
    """sigma u v^T with unit vectors, times the coefficient."""
    u, v = (rows[part] / np.linalg.norm(rows[part]) for part in "uv")
    return LowRank(u[:, None], coefficient * rows["s"], v[:, None])
