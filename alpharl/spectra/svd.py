"""Top-k singular triplets of one matrix, certified by a residual each.

Large matrices go through block Golub-Kahan bidiagonalization, a block Krylov method (Golub, Luk and
Overton, ACM TOMS 7, 1981; from a random start: Musco and Musco, arXiv 1504.05477), with both bases
reorthogonalized in full. It reads the matrix a few times and ends when every triplet that stands
out of the noise is within the tolerance. Where it does not get there, the eigenvectors of the Gram
matrix in float64 take over, and LAPACK's dense SVD after them. Small matrices start there.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Method = Literal["krylov", "gram", "dense", "zero"]
GRAM_LIMIT = 256
"""Matrices whose smaller side is at most this go through their Gram matrix at once."""
BLOCK = 16
"""Columns of a Krylov block. Wider ones read the matrix as fast, but converge later per column."""
MAX_BASIS = 640
"""Columns of the Krylov basis at which the exact method takes over."""
TOLERANCE = 1e-5
"""Largest accepted |A v - s u| / s_1. So near s / s_1 lies a singular value, also without any gap;
of values that are closer together than that, one may be left out."""
EDGE_MARGIN = 1.05
"""Triplets below this multiple of the Marchenko-Pastur edge count as noise."""


class Triplets(NamedTuple):
    """u (m, k), s (k,) descending, v (n, k), residual (k,) = |A v - s u| / s, and how they came.

    The largest entry of each u (by magnitude) is positive.
    """

    u: Tensor
    s: Tensor
    v: Tensor
    residual: Tensor
    method: Method


def top_k(
    matrix_mn: Tensor, k: int, start_nk: Tensor | None = None, norm: float | None = None
) -> Triplets:
    """Top-k SVD of a float32 matrix.

    The first triplet and all others above the noise meet the tolerance. A triplet below the edge
    of the singular values that noise of the leftover norm would have (Marchenko-Pastur) is no
    direction of its own: it is returned as it stands when the others are done.

    Args:
        matrix_mn: the matrix, of any scale.
        k: triplets wanted, cut to min(m, n).
        start_nk: right vectors of a similar matrix to start from; speed depends on it, and only
            within the tolerance the result.
        norm: the matrix's Frobenius norm, where it is known.
    """
    k = min(k, *matrix_mn.shape)
    norm = float(torch.linalg.vector_norm(matrix_mn)) if norm is None else norm
    if not 1e-15 < norm < 1e15:  # squares of smaller or larger entries leave float32's range
        norm = float(torch.linalg.vector_norm(matrix_mn, dtype=torch.float64))
        if norm == 0:
            return _zero(matrix_mn, k)
        triplets = top_k((matrix_mn.double() / norm).float(), k, start_nk)
        return triplets._replace(s=(triplets.s.double() * norm).float())
    if min(matrix_mn.shape) > GRAM_LIMIT:
        krylov = _krylov(matrix_mn, k, norm, start_nk)
        if krylov is not None:
            return krylov
    return exact(matrix_mn, k)


def exact(matrix_mn: Tensor, k: int) -> Triplets:
    """Top-k SVD through the Gram matrix in float64, or dense where that misses the tolerance."""
    u, s, v = _gram_eigh(matrix_mn, k)
    triplets = _certified(matrix_mn, u, s, v, "gram")
    if (triplets.residual * triplets.s <= TOLERANCE * triplets.s[0]).all():
        return triplets
    u, s, vt = torch.linalg.svd(matrix_mn, full_matrices=False)
    return _certified(matrix_mn, u[:, :k], s[:k], vt[:k].T, "dense")


def spectrum(matrix_mn: Tensor) -> Tensor:
    """All min(m, n) singular values, descending, float32, exact to 1e-8 of the first."""
    a = matrix_mn if matrix_mn.shape[0] <= matrix_mn.shape[1] else matrix_mn.T
    values: Tensor = torch.linalg.eigvalsh(_gram(a))
    return values.flip(0).clamp_min(0).sqrt().float()


def noise_edge(energy: float, m: int, n: int) -> float:
    """Largest singular value to expect of an (m, n) matrix of independent entries of equal variance
    and squared Frobenius norm `energy` (Marchenko and Pastur 1967): sd (sqrt m + sqrt n)."""
    return float((max(energy, 0.0) / (m * n)) ** 0.5 * (m**0.5 + n**0.5))


def _zero(matrix_mn: Tensor, k: int) -> Triplets:
    m, n = matrix_mn.shape
    eye = torch.eye(max(m, n), k, device=matrix_mn.device)
    none = torch.zeros(k, device=matrix_mn.device)
    return Triplets(eye[:m], none, eye[:n], none, "zero")


def _krylov(matrix_mn: Tensor, k: int, norm: float, start_nk: Tensor | None) -> Triplets | None:
    """Block Golub-Kahan bidiagonalization A P = Q T; None if it does not converge.

    T is block upper bidiagonal with R_j on its diagonal and S_j^T beside it. Of its SVD x, s, y
    come u = Q x and v = P y, with |A^T u - s v| = |S_j x_last|: convergence costs no product.
    """
    (m, n), device = matrix_mn.shape, matrix_mn.device
    basis_p, basis_q = _Basis(n, device), _Basis(m, device)
    block, _ = basis_p.extend(_start(matrix_mn, start_nk))
    width = block.shape[1]
    t = torch.zeros(0, 0, dtype=torch.float64)
    beside: Tensor | None = None
    check = k + 2 * width
    while t.shape[0] < min(MAX_BASIS, min(m, n) - 2 * width):
        q, r = basis_q.extend(matrix_mn @ block)
        t = _grow(t, beside, r)
        block, beside = basis_p.extend((q.T @ matrix_mn).T)
        if t.shape[0] < check:
            continue
        # The SVD of a large T costs more than a step: look again when it has grown by an eighth.
        check = t.shape[0] * 9 // 8
        x, s, _ = torch.linalg.svd(t)
        residual = (beside @ x[-width:]).norm(dim=0)
        if _done(s, residual, k, norm, matrix_mn.shape):
            # A^T u of the recurrence, without another product.
            image = torch.cat([t.T @ x[:, :k], beside @ x[-width:, :k]])
            u, product = basis_q.columns @ x[:, :k].to(block), basis_p.columns @ image.to(block)
            triplets = _certified(matrix_mn, *_half_step(u, product), "krylov")
            # The recurrence promises what is then measured, unless rounding broke it: a block that
            # lies within a basis of nearly the whole space leaves none that is orthogonal to it.
            converged = triplets.residual * triplets.s <= TOLERANCE * triplets.s[0]
            if _enough(triplets.s.cpu().double(), converged.cpu(), norm, matrix_mn.shape):
                return triplets
    return None


def _start(matrix_mn: Tensor, start_nk: Tensor | None) -> Tensor:
    """Start block (n, b): the given vectors first, random ones from a fixed seed."""
    n, given = matrix_mn.shape[1], 0 if start_nk is None else start_nk.shape[1]
    width = max(BLOCK, given + BLOCK // 4 if given else 0)
    generator = torch.Generator().manual_seed(0)
    block = torch.randn(n, width, generator=generator).to(matrix_mn.device)
    return block if start_nk is None else torch.cat([start_nk.to(block), block[:, given:]], dim=1)


class _Basis:
    """Orthonormal vectors that grow by blocks; rows in memory, columns to the reader."""

    def __init__(self, length: int, device: torch.device) -> None:
        self._rows = torch.empty(4 * BLOCK, length, device=device)
        self.count = 0

    @property
    def columns(self) -> Tensor:
        """All vectors, (length, count)."""
        return self._rows[: self.count].T

    def extend(self, block: Tensor) -> tuple[Tensor, Tensor]:
        """Add a block's part outside the basis.

        Returns:
            The new columns, and the part's coordinates in them, float64.
        """
        rows = self._rows[: self.count]
        block, first = torch.linalg.qr(block.addmm(rows.T, rows @ block, alpha=-1))
        # Twice, because of a block that nearly lies within the basis little but rounding is left.
        block, second = _orthonormal(block.addmm_(rows.T, rows @ block, alpha=-1))
        new = self.count + block.shape[1]
        if new > len(self._rows):
            grown = self._rows.new_empty(max(new, 2 * len(self._rows)), block.shape[0])
            grown[: self.count] = rows
            self._rows = grown
        self._rows[self.count : new] = block.T
        self.count = new
        return block, second.cpu().double() @ first.cpu().double()


def _orthonormal(block: Tensor) -> tuple[Tensor, Tensor]:
    """QR of nearly orthonormal columns: by Cholesky, unless some lost most of their length."""
    r, failed = torch.linalg.cholesky_ex(block.T @ block, upper=True)
    if int(failed) or float(r.diagonal().min()) < 0.5:
        q, r = torch.linalg.qr(block)
        return q, r
    return torch.linalg.solve_triangular(r, block, upper=True, left=False), r


def _grow(t: Tensor, beside: Tensor | None, r: Tensor) -> Tensor:
    """T with one more diagonal block r, and the last half step's block transposed above it."""
    b = r.shape[0]
    grown = torch.zeros(t.shape[0] + b, t.shape[1] + b, dtype=torch.float64)
    grown[: t.shape[0], : t.shape[1]] = t
    if beside is not None:
        grown[t.shape[0] - b : t.shape[0], t.shape[1] :] = beside.T
    grown[t.shape[0] :, t.shape[1] :] = r
    return grown


def _done(s: Tensor, residual: Tensor, k: int, norm: float, shape: torch.Size) -> bool:
    """Whether the first triplet and all others of the top k above the noise are converged."""
    if len(s) < k:
        return False
    # The last half step turns what a triplet lacks once more through the matrix, which shrinks it
    # by the next singular value over its own.
    next_s = s[k] if len(s) > k else s[k - 1]
    converged = residual[:k] * next_s <= TOLERANCE * s[0] * s[:k]
    return _enough(s[:k], converged, norm, shape)


def _enough(s: Tensor, converged: Tensor, norm: float, shape: torch.Size) -> bool:
    """Whether the first triplet is converged, and each other one is that or noise."""
    # What is left beside the triplets that stand: were it noise, it would reach to the edge.
    energy = float(s[converged].square().sum())
    noise = s < EDGE_MARGIN * noise_edge(norm**2 - energy, *shape)
    noise[0] = False
    return bool((converged | noise).all())


def _half_step(u: Tensor, product_nk: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Triplets with A^T u = s v from the span of u and A^T u; nearer to the singular ones."""
    v, r = torch.linalg.qr(product_nk)
    left, s, right_t = torch.linalg.svd(r)
    return u @ right_t.T, s, v @ left


def _certified(matrix_mn: Tensor, u: Tensor, s: Tensor, v: Tensor, method: Method) -> Triplets:
    """Measure the residuals, and flip pairs so that each u's largest entry is positive."""
    error = (matrix_mn @ v - u * s).norm(dim=0)
    residual = torch.where(s > 0, error / s.clamp_min(torch.finfo(s.dtype).tiny), 0.0)
    pick = u.gather(0, u.abs().argmax(dim=0, keepdim=True))[0]
    sign = torch.where(pick < 0, -1.0, 1.0)
    return Triplets(u * sign, s, v * sign, residual, method)


def _gram(matrix_mn: Tensor) -> Tensor:
    """A A^T in float64, from slices of columns that are small beside the matrix."""
    total = torch.zeros(
        matrix_mn.shape[0], matrix_mn.shape[0], dtype=torch.float64, device=matrix_mn.device
    )
    for part in torch.split(matrix_mn, 1024, dim=1):
        total.addmm_(part.double(), part.double().T)
    return total


def _gram_eigh(matrix_mn: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvectors of the smaller of A A^T and A^T A, in float64."""
    if matrix_mn.shape[0] > matrix_mn.shape[1]:
        v, s, u = _gram_eigh(matrix_mn.T, k)
        return u, s, v
    u = torch.linalg.eigh(_gram(matrix_mn)).eigenvectors.flip(1)[:, :k]
    product = torch.cat([part.double().T @ u for part in torch.split(matrix_mn, 1024, dim=1)])
    u, s, v = _half_step(u, product)
    return u.float(), s.float(), v.float()
