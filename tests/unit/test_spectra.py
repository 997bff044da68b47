"""Singular triplets and low-rank algebra against dense float64 computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from alpharl.spectra import svd
from alpharl.spectra.factors import factor_update
from alpharl.spectra.lowrank import LowRank
from alpharl.spectra.svd import top_k
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.matrices import HARD, SPECTRA, compare, planted, spectrum

DENSE = [(30, 7), (7, 30), (16, 16), (1, 9), (9, 1), (1, 1)]
RANDOMIZED = [(60, 40), (17, 300), (100, 100)]


@pytest.mark.parametrize("name", SPECTRA + HARD)
@pytest.mark.parametrize("shape", DENSE, ids=str)
def test_top_k_dense(shape, name):
    for k in (1, 4, 99):
        compare(planted(shape, spectrum(name, min(shape))), k, angle=5e-6)


@pytest.mark.parametrize("name", SPECTRA + HARD)
@pytest.mark.parametrize("shape", RANDOMIZED, ids=str)
def test_top_k_randomized(shape, name, monkeypatch):
    monkeypatch.setattr(svd, "GRAM_LIMIT", 8)
    for seed in range(3):
        compare(planted(shape, spectrum(name, min(shape)), seed), 8, angle=2 * svd.TOLERANCE)


@pytest.mark.parametrize("name", ["steep", "slow", "rank-deficient", *HARD])
@pytest.mark.parametrize("shape", [(300, 640), (700, 260)], ids=str)
def test_top_k_above_the_limit(shape, name):
    assert min(shape) > svd.GRAM_LIMIT
    compare(planted(shape, spectrum(name, min(shape))), 8, angle=2 * svd.TOLERANCE)


@pytest.mark.parametrize("name", ["steep", "power", "repeated", "spike-over-bulk"])
def test_large_matrix_is_not_decomposed_whole(name):
    """The Krylov method is the one that runs, and it is enough for a decaying spectrum."""
    assert top_k(planted((520, 530), spectrum(name, 520)), 8).method == "krylov"


def test_matrix_on_which_iteration_stalls_gets_the_exact_fallback(monkeypatch):
    noise = torch.randn(520, 530, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(svd, "MAX_BASIS", 64)
    assert top_k(noise, 8).method == "gram"
    compare(noise, 8, angle=5e-6)
    monkeypatch.setattr(svd, "_gram_eigh", lambda a, k: [torch.ones(n, k) for n in (520, 1, 530)])
    assert top_k(noise, 8).method == "dense"
    compare(noise, 8, angle=5e-6)


def test_first_triplet_of_noise_is_exact_and_the_others_stop_at_the_edge():
    """Noise has no gaps: only its first triplet is worth the search (a residual tells)."""
    noise = torch.randn(1100, 1500, generator=torch.Generator().manual_seed(3))
    found, sigma = top_k(noise, 16), np.linalg.svd(noise.double().numpy(), compute_uv=False)
    assert found.method == "krylov"
    assert float(found.s[0]) == pytest.approx(sigma[0], rel=1e-6)
    assert float(found.residual[0]) <= svd.TOLERANCE
    assert svd.noise_edge(float((sigma**2).sum()), 1100, 1500) == pytest.approx(sigma[0], rel=0.02)


def test_triplets_above_the_noise_are_exact_and_those_in_it_near():
    head = np.array([1.0, 0.6, 0.3, 0.2])
    signal = planted((600, 900), np.concatenate([head, np.zeros(596)]))
    noise = torch.randn(600, 900, generator=torch.Generator().manual_seed(0))
    matrix = signal + noise * (0.05 / (600**0.5 + 900**0.5))
    found, dense = top_k(matrix, 12), np.linalg.svd(matrix.double().numpy())
    sigma = dense[1][:12]
    np.testing.assert_allclose(found.s[:4], sigma[:4], rtol=1e-5)
    assert (found.residual[:4] * found.s[:4] <= svd.TOLERANCE * found.s[0]).all()
    np.testing.assert_allclose(found.s[4:], sigma[4:], rtol=0.1)
    assert abs(float(found.u[:, 0].double() @ torch.from_numpy(dense[0][:, 0]))) > 1 - 1e-9


def test_warm_start_gives_the_same_triplets_sooner(monkeypatch):
    before = planted((400, 600), spectrum("power", 400))
    after = before + 0.02 * planted((400, 600), spectrum("power", 400), seed=1)
    products = []
    extend = svd._Basis.extend
    monkeypatch.setattr(svd._Basis, "extend", lambda self, b: products.append(1) or extend(self, b))
    cold = top_k(after, 8)
    steps = len(products)
    warm = top_k(after, 8, start_nk=top_k(before, 8).v)
    products.clear()
    warm = top_k(after, 8, start_nk=top_k(after, 8).v)
    np.testing.assert_allclose(warm.s, cold.s, rtol=1e-5)
    np.testing.assert_allclose((warm.v * cold.v).sum(0), np.ones(8), atol=1e-6)
    assert steps > 0


def test_whole_spectrum():
    for name in SPECTRA:
        for shape in ((30, 50), (50, 30)):
            found = svd.spectrum(planted(shape, spectrum(name, 30)))
            expected = spectrum(name, 30)
            np.testing.assert_allclose(found, expected, atol=1e-7 * max(expected[0], 1e-30))


@pytest.mark.parametrize("method", ["krylov", "gram"])
def test_sparse_update(method, monkeypatch):
    """Most entries of a bf16 checkpoint do not move; here four rows do."""
    monkeypatch.setattr(svd, "GRAM_LIMIT", 8 if method == "krylov" else 4096)
    matrix = torch.zeros(300, 400)
    matrix[[3, 50, 51, 299]] = torch.randn(4, 400, generator=torch.Generator().manual_seed(0))
    assert top_k(matrix, 6).method == method
    compare(matrix, 6, angle=2e-5)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    k=st.integers(1, 30),
    scale=st.sampled_from([1e-12, 1e-6, 1e-2, 1.0, 1e6]),
    seed=st.integers(0, 10**6),
)
def test_top_k_of_gaussian_matrices(shape, k, scale, seed):
    rng = np.random.default_rng(seed)
    compare(torch.from_numpy((scale * rng.standard_normal(shape)).astype(np.float32)), k, 5e-6)


def test_top_k_is_deterministic_and_leaves_its_input_alone():
    matrix = planted((520, 530), spectrum("power", 520))
    before = matrix.clone()
    first, second = top_k(matrix, 4)[:4], top_k(matrix, 4)[:4]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(matrix, before)


# --- low-rank objects ---


def test_lowrank_algebra():
    rng = np.random.default_rng(0)
    low = LowRank(
        rng.standard_normal((5, 3)), np.array([3.0, 2.0, 0.5]), rng.standard_normal((4, 3))
    )
    full = low.u @ np.diag(low.s) @ low.v.T
    np.testing.assert_allclose(low.dense(), full, rtol=1e-12)
    np.testing.assert_allclose(low.scaled(-2.5).dense(), -2.5 * full, rtol=1e-12)
    two = low.u[:, :2] @ np.diag(low.s[:2]) @ low.v[:, :2].T
    np.testing.assert_allclose(low.top(2).dense(), two, rtol=1e-12)
    assert low.top(9).s.tolist() == [3.0, 2.0, 0.5]


@pytest.mark.parametrize("k", [1, 2, 4])
def test_rescale_restores_the_frobenius_norm(k):
    found = factor_update(planted((9, 6), spectrum("power", 6)), 4)
    full = np.sqrt(np.sum(spectrum("power", 6) ** 2))
    assert found.norm == pytest.approx(full, rel=1e-6)
    kept = found.low.top(k).scaled(found.rescale(k)).dense()
    assert np.linalg.norm(kept) == pytest.approx(full, rel=1e-5)
    assert found.rescale(k) > 1


def test_rescale_of_a_zero_update_is_zero():
    found = factor_update(torch.zeros(4, 3), 2)
    assert found.norm == 0
    assert found.rescale(1) == 0


def test_norm_is_summed_in_float64():
    """A float32 sum over three million squares is off in the seventh digit."""
    matrix = torch.full((1, 3_000_000), 1e-4)
    expected = float(np.float32(1e-4)) * 3e6**0.5
    assert factor_update(matrix, 1).norm == pytest.approx(expected, rel=1e-9)
