"""Top-k singular triplets of one matrix, with a residual for each.

Small matrices get LAPACK's dense SVD. Large ones get randomized subspace iteration (Halko,
Martinsson and Tropp, arXiv 0909.4061, algorithm 4.4), which goes on until every residual is below
the tolerance. Where it does not get there, as with a flat spectrum, the eigenvectors of the Gram
matrix in float64 take over: exact to 1e-8 of s_1, and cheaper than a dense SVD.
"""

from __future__ import annotations

import torch
from torch import Tensor

DENSE_LIMIT = 512
OVERSAMPLE = 16
MAX_ITERATIONS = 24
TOLERANCE = 1e-5
"""Largest accepted |A v - s u| / s_1. It bounds the error of s / s_1, also without any gap."""


def top_k(matrix_mn: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top-k SVD of a float32 matrix.

    Returns:
        u (m, k), s (k,) descending, v (n, k), residual (k,) = |A v - s u| / s. The largest entry
        of each u (by magnitude) is positive. k is cut to min(m, n).
    """
    k = min(k, *matrix_mn.shape)
    if min(matrix_mn.shape) <= DENSE_LIMIT:
        u, s, v = _dense(matrix_mn, k)
    else:
        u, s, v = _randomized(matrix_mn, k) or _gram_eigh(matrix_mn, k)
    u, v = _fix_signs(u, v)
    return u, s, v, residuals(matrix_mn, u, s, v)


def residuals(matrix_mn: Tensor, u: Tensor, s: Tensor, v: Tensor) -> Tensor:
    """|A v - s u| / s of each triplet, 0 where s is 0."""
    error = (matrix_mn @ v - u * s).norm(dim=0)
    return torch.where(s > 0, error / s.clamp_min(torch.finfo(s.dtype).tiny), 0.0)


def _dense(matrix_mn: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    u, s, vt = torch.linalg.svd(matrix_mn, full_matrices=False)
    return u[:, :k], s[:k], vt[:k].T


def _randomized(matrix_mn: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor] | None:
    """Subspace iteration from a fixed random start; None if it does not converge."""
    width = min(k + OVERSAMPLE, *matrix_mn.shape)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(matrix_mn.shape[1], width, generator=generator).to(matrix_mn.device)
    q, _ = torch.linalg.qr(matrix_mn @ start)
    for _ in range(MAX_ITERATIONS):
        z, _ = torch.linalg.qr(matrix_mn.T @ q)
        q, _ = torch.linalg.qr(matrix_mn @ z)
        small_u, s, vt = torch.linalg.svd(q.T @ matrix_mn, full_matrices=False)
        u, s, v = (q @ small_u)[:, :k], s[:k], vt[:k].T
        if (residuals(matrix_mn, u, s, v) * s <= TOLERANCE * s[0]).all():
            return u, s, v
    return None


def _gram_eigh(matrix_mn: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvectors of the smaller of A A^T and A^T A, in float64."""
    if matrix_mn.shape[0] > matrix_mn.shape[1]:
        v, s, u = _gram_eigh(matrix_mn.T, k)
        return u, s, v
    a = matrix_mn.double()
    u = torch.linalg.eigh(a @ a.T).eigenvectors.flip(1)[:, :k]
    v = a.T @ u
    s = v.norm(dim=0)
    v = v / s.clamp_min(torch.finfo(a.dtype).tiny)
    return u.float(), s.float(), v.float()


def _fix_signs(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Flip pairs so that each u's entry of largest magnitude is positive."""
    pick = u.gather(0, u.abs().argmax(dim=0, keepdim=True))[0]
    sign = torch.where(pick < 0, -1.0, 1.0)
    return u * sign, v * sign
