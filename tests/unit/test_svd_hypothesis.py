"""Top-k SVD of updates of any shape, spectrum and storage dtype, against float64."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import torch
from alpharl.spectra import svd
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.matrices import SIGMA, planted, spectrum

DTYPES = [
    torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2,
]  # fmt: skip
EPS = float(np.finfo(np.float32).eps)
SIDE = st.integers(1, 60)
SHAPES = st.one_of(
    st.tuples(SIDE, SIDE), SIDE.map(lambda n: (n, n)), SIDE.map(lambda n: (1, n)),
    st.tuples(st.integers(1, 8), st.integers(30, 60)),
    st.tuples(st.integers(30, 60), st.integers(1, 8)),
)  # fmt: skip


def stored_update(shape, name, dtype, seed) -> torch.Tensor:
    """The float32 difference of two stored tensors, with about the named spectrum."""
    base = planted(shape, 0.3 * spectrum("slow", min(shape)), seed + 1).to(dtype)
    delta = planted(shape, spectrum(name, min(shape)), seed)
    return (base.float() + delta).to(dtype).float() - base.float()


@settings(max_examples=300, deadline=None)
@given(
    shape=SHAPES,
    name=st.sampled_from(["steep", "flat", "repeated", "rank-deficient", "zero", "tiny"]),
    dtype=st.sampled_from(DTYPES),
    k=st.integers(1, 20),
    sizes=st.sampled_from([(svd.GRAM_LIMIT, svd.BLOCK), (4, 4)]),
    seed=st.integers(0, 10**6),
)
# The basis fills all but one dimension, and the recurrence breaks down in it.
@example(shape=(21, 21), name="flat", dtype=torch.float32, k=5, sizes=(4, 4), seed=0)
# The third value is within 1.2e-5 of the fourth, which is found in its place.
@example(shape=(42, 42), name="flat", dtype=torch.float16, k=3, sizes=(4, 4), seed=38344)
def test_top_k_of_stored_updates(shape, name, dtype, k, sizes, seed):
    """Also with a limit and blocks so small that the Krylov method runs."""
    delta = stored_update(shape, name, dtype, seed)
    with patch.multiple(svd, GRAM_LIMIT=sizes[0], BLOCK=sizes[1]):
        found = svd.top_k(delta, k)
    u, s, v, residual = (x.double().numpy() for x in found[:4])
    dense = delta.double().numpy()
    true = np.linalg.svd(dense, compute_uv=False)
    k, one = min(k, len(true)), true[0]
    assert (u.shape, s.shape, v.shape) == ((shape[0], k), (k,), (shape[1], k))
    if one == 0:
        assert found.method == "zero"
        assert not s.any() and not residual.any()
        return
    assert (np.diff(s) <= 0).all()

    certified = residual * s <= svd.TOLERANCE * s[0]
    assert certified[0]
    assert certified.all() or found.method == "krylov"
    left = np.sum(true**2) - np.sum(true[:k][certified] ** 2)
    assert (true[:k][~certified] <= 1.1 * svd.noise_edge(left, *shape)).all(), "all but noise"
    # A residual says how far a singular value is, not which one: of values that lie closer together
    # than the tolerance, one may be left out.
    nearest = np.abs(s[:, None] - true).min(axis=1)
    assert (nearest[certified] <= SIGMA * one).all()
    assert (s - true[:k] <= SIGMA * one).all()

    real = true[:k] > SIGMA * one
    for basis in (u[:, real], v[:, real]):
        np.testing.assert_allclose(basis.T @ basis, np.eye(real.sum()), atol=1e-5)

    error = np.linalg.norm(dense @ v - u * s, axis=0)
    assert (np.abs(residual * s - error) <= 10 * EPS * one).all()
