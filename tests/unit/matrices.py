"""Matrices with known singular values, and the comparison with a dense SVD in float64."""

from __future__ import annotations

import numpy as np
import torch
from alpharl.spectra import svd
from alpharl.spectra.svd import top_k

SIGMA = 1e-5
"""Accepted error of a singular value, in units of the largest (golden README, "use")."""


def planted(shape: tuple[int, int], sigma: np.ndarray, seed: int = 0) -> torch.Tensor:
    """A float32 matrix with given singular values and random singular vectors."""
    rng, r = np.random.default_rng(seed), min(shape)
    u, _ = np.linalg.qr(rng.standard_normal((shape[0], r)))
    v, _ = np.linalg.qr(rng.standard_normal((shape[1], r)))
    return torch.from_numpy(((u * sigma) @ v.T).astype(np.float32))


def spectrum(name: str, r: int) -> np.ndarray:
    """Singular values, decreasing, by name."""
    i = np.arange(r, dtype=np.float64)
    return {
        "steep": 0.5**i,
        "power": 1 / (1 + i),
        "slow": 1 - 0.5 * i / r,
        "flat": np.ones(r),
        "repeated": np.array([1.0, 1.0, 0.5, 0.5, 0.5])[np.minimum(i.astype(int) // 2, 4)]
        * 0.99**i,
        "rank-deficient": np.where(i < 3, 0.7**i, 0.0),
        "zero": np.zeros(r),
        "tiny": 1e-8 * 0.8**i,
        # A rank-1 update over the noise of rounding: what AlphaRL's claim 1 looks like.
        "spike-over-bulk": np.where(i < 1, 1.0, 1e-3 * (1 - i / r)),
        "near-cluster": np.where(i < 8, 1.0, 1 - 1e-4),
    }[name]


SPECTRA = ["steep", "power", "slow", "flat", "repeated", "rank-deficient", "zero", "tiny"]
HARD = ["spike-over-bulk", "near-cluster"]


def compare(matrix: torch.Tensor, k: int, angle: float) -> None:
    """Compare `top_k` with numpy's dense SVD in float64.

    Args:
        matrix: float32.
        k: triplets asked for.
        angle: the spans' angle may be this over the relative gap (Davis and Kahan).
    """
    found = top_k(matrix, k)
    u, s, v, residual = (x.double().numpy() for x in found[:4])
    dense = matrix.double().numpy()
    ru, rs, rvt = np.linalg.svd(dense, full_matrices=False)
    k = min(k, len(rs))
    one = rs[0] or 1.0
    assert u.shape == (len(dense), k)
    assert v.shape == (dense.shape[1], k)
    assert s.shape == residual.shape == (k,)
    assert (np.diff(s) <= 0).all()

    # All are exact, but for those of a large matrix that noise of the leftover norm could be.
    exact = (residual * s <= svd.TOLERANCE * s[0]) | (found.method != "krylov")
    assert exact[0]
    assert np.abs(s - rs[:k])[exact].max() / one <= SIGMA
    left = np.sum(rs**2) - np.sum(rs[:k][exact] ** 2)
    assert (rs[:k][~exact] <= 1.1 * svd.noise_edge(left, *dense.shape)).all()
    assert (np.abs(s - rs[:k])[~exact] <= 0.15 * rs[:k][~exact]).all()

    real = rs[:k] > 1e-5 * one
    np.testing.assert_allclose((u.T @ u)[real][:, real], np.eye(real.sum()), atol=1e-5)
    np.testing.assert_allclose((v.T @ v)[real][:, real], np.eye(real.sum()), atol=1e-5)
    best = np.sqrt(np.sum(rs[k:] ** 2) + np.sum((rs[:k] ** 2 - s**2)[~exact]))
    assert np.linalg.norm(dense - (u * s) @ v.T) <= best + SIGMA * np.linalg.norm(dense)
    for j in range(1, k + 1):
        gap = (rs[j - 1] - (rs[j] if j < len(rs) else 0.0)) / one
        if gap > 1e-3 and exact[:j].all():
            for span, true in ((u[:, :j], ru[:, :j]), (v[:, :j], rvt[:j].T)):
                sine = np.linalg.norm(span - true @ (true.T @ span), 2)
                assert sine <= angle / gap, f"rank {j}: sine {sine:.2e}, gap {gap:.2e}"

    error = np.linalg.norm(dense @ v - u * s, axis=0)
    expected = np.divide(error, s, out=np.zeros_like(s), where=s > 0)
    assert (np.abs(residual - expected)[real] <= 3e-6 * one / rs[:k][real]).all()
    assert (residual[s == 0] == 0).all()
    if k:
        assert (u[np.abs(u).argmax(0), range(k)] > 0).all()
