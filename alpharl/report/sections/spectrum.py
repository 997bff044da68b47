"""Spectra of the updates: shares of squared Frobenius norm, next to those of Gaussian matrices."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from alpharl.report.canvas import GREY, legend, looks_of, plain_log, sheet, svg
from alpharl.report.collect import Results
from alpharl.report.frames import Frames, records
from alpharl.report.numbers import number
from alpharl.report.section import Section
from alpharl.report.tables import Column, Table, table

TOPS = (1, 4, 8)
"""The cumulative shares that the report states."""


class Spectrum(Section):
    """How much of the updates their largest singular values hold."""

    name = "spectrum"
    nav = "Spectrum"
    title = "Spectrum of the updates"
    null = (
        "If the updates were isotropic noise, their shares would lie at or just below the "
        "Gaussian null: (√m + √n)² / (m n) for the first singular value of an m × n matrix."
    )
    text = """
    {% call figure("spectrum") %}
    Left: share of the squared Frobenius norm per singular value, mean over matrices, next to that
    of i.i.d. Gaussian matrices of the same shapes. Right: norm of the update over all matrices in
    scope.
    {% endcall %}
    {{ grid(shares) }}
    <p class="note">The null of top-1 is the Marchenko-Pastur edge, (√m + √n)² / (m n); those of
    top-4 and top-8 add the law's next quantiles. A share above this null says that the update is
    not isotropic noise; it does not say that the direction matters: see the controls in section
    {{ number_of.rank }}. Per matrix: <code>tables/matrices.csv</code>.</p>
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """Shares per run, matrix and singular value, and norms over steps."""
        return {
            "spectrum": spectrum_frame(results),
            "matrices": matrices_frame(results),
            "singular_values": singular_values_frame(results),
            "norms": norms_frame(results),
        }

    def figures(self, frames: Frames) -> dict[str, str]:
        """Singular values at the last step, and norms over steps."""
        return {"spectrum": _draw(frames["singular_values"], frames["norms"])}

    def context(self, results: Results, frames: Frames) -> dict[str, Any]:
        """The table of cumulative shares."""
        return {"shares": shares_table(frames["spectrum"])}


@lru_cache(maxsize=256)
def _gaussian_shares(m: int, n: int) -> NDArray[np.float64]:
    """Expected shares of squared norm per singular value of an i.i.d. Gaussian matrix (min(m, n),).

    Marchenko-Pastur law: share i is its quantile at 1 − (i − 1)/min(m, n), so the first is the
    law's upper edge, (√m + √n)²/(m n). Each is an upper bound within its quantile bin, so the null
    is, if anything, too generous to noise; the shares sum to slightly more than 1.
    """
    short, ratio = min(m, n), min(m, n) / max(m, n)
    low, high = (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2
    # Substituting x = mid − half·cos(θ) removes the infinite slopes of the density at both edges.
    theta = np.linspace(0, np.pi, 20_001)
    x = (high + low) / 2 - (high - low) / 2 * np.cos(theta)
    weight = np.sin(theta) ** 2 / np.maximum(x, 1e-12)
    steps = (weight[1:] + weight[:-1]) / 2
    cdf = np.concatenate([[0.0], np.cumsum(steps) / steps.sum()])
    quantiles = np.interp(1 - np.arange(short) / short, cdf, x)
    return np.asarray(np.minimum(1.0, quantiles / short), dtype=np.float64)


def null_share(m: int, n: int, top: int) -> float:
    """Share of squared norm that the top singular values of a Gaussian (m, n) matrix hold."""
    return float(min(1.0, _gaussian_shares(m, n)[:top].sum()))


def _top_share(shares_k: NDArray[np.float64], top: int, full_rank: int) -> float:
    """Cumulative share of the top values; nan if fewer are stored than are asked for."""
    stored = len(shares_k) >= min(top, full_rank)
    return float(shares_k[:top].sum()) if stored else float("nan")


def matrices_frame(results: Results) -> pd.DataFrame:
    """Per run and matrix at the last step: shape, norm, cumulative shares and their nulls."""
    rows = []
    for row in records(_last_step(results)):
        shares = {f"top_{k}": _top_share(row.shares, k, min(row.m, row.n)) for k in TOPS}
        nulls = {f"null_{k}": null_share(row.m, row.n, k) for k in TOPS}
        head = {"run": row.run, "step": row.step, "tensor": row.tensor, "m": row.m, "n": row.n}
        rows.append({**head, "norm": row.norm, **shares, **nulls})
    tops = [f"{name}_{k}" for name in ("top", "null") for k in TOPS]
    return pd.DataFrame(rows, columns=["run", "step", "tensor", "m", "n", "norm", *tops])


def spectrum_frame(results: Results) -> pd.DataFrame:
    """Per run at the last step: mean over matrices of the cumulative shares and their nulls."""
    matrices = matrices_frame(results)
    tops = [f"{name}_{k}" for name in ("top", "null") for k in TOPS]
    per_run = matrices.groupby(["run", "step"], sort=False)
    means = per_run[tops].mean()
    spread = per_run.agg(
        matrices=("tensor", "size"), top_1_min=("top_1", "min"), top_1_max=("top_1", "max")
    )
    return spread.join(means).reset_index()


def singular_values_frame(results: Results) -> pd.DataFrame:
    """Per run and index of a singular value at the last step: mean share and its null."""
    rows = [
        {"run": row.run, "index": i + 1, "share": share, "null": _gaussian_shares(row.m, row.n)[i]}
        for row in records(_last_step(results))
        for i, share in enumerate(row.shares)
    ]
    frame = pd.DataFrame(rows, columns=["run", "index", "share", "null"])
    return frame.groupby(["run", "index"], sort=False).mean().reset_index()


def norms_frame(results: Results) -> pd.DataFrame:
    """Per run and step: Frobenius norm of the whole update in scope, and the mean top-1 share."""
    matrices = results.matrices
    top_1 = [float(shares[0]) for shares in matrices["shares"]]
    per_step = matrices.assign(top_1=top_1).groupby(["run", "step"], sort=False)
    frame = per_step.agg(norm=("norm", np.linalg.norm), top_1=("top_1", "mean"))
    return frame.reset_index()


def _last_step(results: Results) -> pd.DataFrame:
    last = results.matrices.groupby("run", sort=False)["step"].transform("max")
    return results.matrices[results.matrices["step"] == last]


def _draw(values: pd.DataFrame, norms: pd.DataFrame) -> str:
    """Share of squared norm per singular value next to the Gaussian null; norms over steps."""
    with sheet(2, 2.9) as (figure, (left, right)):
        colours = looks_of(list(values["run"].unique()))
        for run, (colour, marker) in colours.items():
            share, norm = values[values["run"] == run], norms[norms["run"] == run]
            look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 3}
            left.plot(share["index"], share["share"], label=run, **look)
            right.plot(norm["step"], norm["norm"], label=run, **look)
        null = values.groupby("index")["null"].mean()
        left.plot(null.index, null, color=GREY, linestyle="--", label="Gaussian null")
        left.set(title="Spectrum at the last step", yscale="log")
        plain_log(left.yaxis)
        left.set(xlabel="index of the singular value", ylabel="share of squared norm")
        right.set(title="Norm of the update", xlabel="step", ylabel="Frobenius norm")
        right.set_ylim(bottom=0)
        legend(figure, left)
        return svg(figure, "spectrum")


def shares_table(frame: pd.DataFrame) -> Table:
    """Cumulative shares of squared norm, each next to its null."""
    columns = [
        Column("run", lambda r: r.run, kind="word"),
        Column("step", lambda r: str(r.step)),
        Column("matrices", lambda r: str(r.matrices)),
    ]
    for k in TOPS:
        columns += [_share(f"top-{k} share", f"top_{k}"), _share("Gaussian null", f"null_{k}")]
    span = Column("top-1, lowest to highest", _span)
    return table(frame, [*columns, span])


def _span(row: Any) -> str:
    return f"{number(row.top_1_min)} to {number(row.top_1_max)}"


def _share(heading: str, name: str) -> Column:
    return Column(heading, lambda row: number(getattr(row, name)))
