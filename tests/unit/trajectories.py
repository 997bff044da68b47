"""Trajectories with known answers, and the estimators that published code uses."""

from __future__ import annotations

import numpy as np
from alpharl.dynamics.blocks import Block
from alpharl.spectra.gram import Gram
from alpharl.spectra.lowrank import Factors, LowRank
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import LinearRegression


def walk(rng: np.random.Generator, steps: int, dimensions: int) -> np.ndarray:
    """(T, d) random walk with unit steps in expectation."""
    return np.cumsum(rng.standard_normal((steps, dimensions)) / dimensions**0.5, axis=0)


def brownian_share(t: int) -> float:
    """Share of the first eigenvalue of min(i, j), i, j = 1..T: 8/pi^2 as T grows."""
    first = 1 / (4 * np.sin(np.pi / (2 * (2 * t + 1))) ** 2)
    return float(first / (t * (t + 1) / 2))


def quarter_sine_r2(t: int) -> float:
    """R2 of a line through the first eigenvector of min(i, j), a quarter of a sine."""
    i = np.arange(1, t + 1)
    return float(np.corrcoef(i, np.sin(i * np.pi / (2 * t + 1)))[0, 1] ** 2)


def sklearn_pls(x: np.ndarray, y: np.ndarray) -> tuple[PLSRegression, LinearRegression]:
    """The authors' estimator: one PLS component, then a line on its score."""
    pls = PLSRegression(n_components=1).fit(x, y)
    return pls, LinearRegression().fit(pls.transform(x), y)


CASES = {
    "wide": (6, 200, 1.0),
    "tall": (40, 5, 1.0),
    "two rows": (2, 30, 1.0),
    "one column": (9, 1, 1.0),
    "tiny values": (7, 50, 1e-6),
}


def pls_data(case: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A drifting trajectory, two of its columns constant where it has ten or more."""
    t, d, scale = CASES[case]
    rng = np.random.default_rng(seed)
    x = scale * (np.outer(np.linspace(0, 1, t), rng.standard_normal(d)) + 0.3 * walk(rng, t, d))
    if d >= 10:
        x[:, 3], x[:, 7] = 0.0, 0.5 * scale
    return x, np.linspace(0.4, 0.9, t) + 0.02 * rng.standard_normal(t)


PLANTED = [12, 24, 40, 48, 60, 72, 84, 96]


def planted_run() -> tuple[dict, Gram, dict, dict, dict]:
    """Two matrices: one grows along a line and turns with accuracy, one is a random walk.

    Signs of the singular vectors are flipped at random, as an SVD would.
    """
    rng = np.random.default_rng(3)
    steps = np.array(PLANTED, np.float64)
    accuracy = {0: 0.1} | dict(zip(PLANTED, np.sqrt(steps / 100).round(4).tolist(), strict=True))
    a, b = np.linalg.qr(rng.standard_normal((40, 2)))[0].T
    v = rng.standard_normal(30)
    turned = a + np.outer([accuracy[s] for s in PLANTED], b)
    line = steps[:, None, None] * np.einsum("ti,j->tij", turned, v)
    updates = {
        "model.layers.3.mlp.up_proj.weight": line + 0.5 * rng.standard_normal(line.shape),
        "model.layers.0.self_attn.q_proj.weight": walk(rng, 8, 40 * 30).reshape(8, 40, 30),
    }
    factors: dict[int, dict[str, Factors]] = {step: {} for step in PLANTED}
    for name, delta in updates.items():
        for t, step in enumerate(PLANTED):
            u, s, vt = np.linalg.svd(delta[t])
            sign = rng.choice([-1.0, 1.0]) if t < 7 else 1.0
            low = LowRank(sign * u[:, :1], s[:1], sign * vt[:1].T)
            factors[step][name] = Factors(low, float(np.linalg.norm(delta[t])), np.zeros(1))
    flat = {name: delta.reshape(8, -1) for name, delta in updates.items()}
    gram = Gram([*PLANTED, 108], {n: _with_a_later_row(rows, rng) for n, rows in flat.items()})
    blocks = {name: planted_block(rng, delta.shape[1:]) for name, delta in updates.items()}
    return factors, gram, accuracy, blocks, flat


def planted_block(rng: np.random.Generator, shape: tuple[int, int]) -> Block:
    """Weights far above the steps of the walk, so that bfloat16 swallows some."""
    return Block(rng.standard_normal((20, 15)).astype(np.float32), int(np.prod(shape)))


def _with_a_later_row(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gram of the rows and one more checkpoint, which has no factors."""
    more = np.concatenate([rows, rng.standard_normal((1, rows.shape[1]))])
    return more @ more.T
