"""Factors and grams against dense float64 computation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.errors import CheckpointError, MethodError
from alpharl.spectra import gram as gram_module
from alpharl.spectra import svd
from alpharl.spectra.factors import Settings, factor_checkpoint, factor_update, write_factors
from alpharl.spectra.gram import Gram, extend_gram, gram_run, read_gram, write_gram
from alpharl.spectra.lowrank import LowRank, read_factors, read_metadata
from alpharl.spectra.svd import top_k
from alpharl.study.depth import Depth
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file
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


# --- factor files ---


@pytest.mark.parametrize("scope", ["paper", "all"])
def test_factor_file_holds_what_the_design_says(trajectory, tmp_path, cli, scope):
    out = tmp_path / "F.safetensors"
    step, rank = trajectory.steps[-1], 3
    found = cli("factors", "--base", trajectory.base, "--checkpoint", trajectory.folders[step],
                "--rank", rank, "--scope", scope, "--out", out)  # fmt: skip
    assert found.status == 0
    arrays = load_file(out)
    names = {n for n, t in trajectory.weights[0].items() if t.ndim == 2}
    names = names if scope == "all" else set(trajectory.matrices())
    assert set(arrays) == {
        f"{n}/{key}" for n in names for key in ("u", "s", "v", "norm", "residual")
    }
    assert {a.dtype for a in arrays.values()} == {np.dtype(np.float32)}
    for name in names:
        delta = trajectory.update(step, name)
        u, s, vt = np.linalg.svd(delta, full_matrices=False)
        part = {key: arrays[f"{name}/{key}"] for key in ("u", "s", "v", "norm", "residual")}
        assert part["u"].shape == (delta.shape[0], rank)
        assert part["v"].shape == (delta.shape[1], rank)
        assert part["norm"].shape == ()
        np.testing.assert_allclose(part["s"], s[:rank], atol=1e-5 * s[0])
        np.testing.assert_allclose(part["norm"], np.linalg.norm(delta), rtol=1e-6)
        top = (u[:, :rank] * s[:rank]) @ vt[:rank]
        gap = s[rank - 1] - s[rank]
        rebuilt = (part["u"] * part["s"]) @ part["v"].T
        assert np.linalg.norm(rebuilt - top) <= 1e-5 * s[0] ** 2 / gap
        assert part["residual"].max() < 1e-4
    with safe_open(out, framework="np") as file:
        meta = json.loads(file.metadata()["alpharl"])
    assert meta == read_metadata(out)
    assert meta["base"] == str(trajectory.base)
    assert meta["checkpoint"] == str(trajectory.folders[step])
    assert meta["depth"] == {"rank": rank, "percent_components": 0, "percent_parameters": 0}
    assert set(meta["methods"]["gram"]) == names, "small matrices"
    assert isinstance(meta["version"], int)


def test_rank_above_the_size_of_a_matrix_is_cut(trajectory):
    step = trajectory.steps[0]
    found = factor_checkpoint(trajectory.base, trajectory.folders[step], Settings(Depth(99)))
    for name, factors in found.items():
        delta = trajectory.update(step, name)
        assert len(factors.low.s) == min(delta.shape)
        np.testing.assert_allclose(factors.low.dense(), delta, atol=1e-5 * np.linalg.norm(delta))


@pytest.mark.parametrize("shards", [1, 3, 50])
def test_sharded_factors_are_the_whole(trajectory, tmp_path, shards):
    step = trajectory.steps[2]
    folders = {step: trajectory.folders[step]}
    whole = factor_checkpoint(trajectory.base, folders[step], Settings(Depth(2)))
    files = []
    for part in range(shards):
        files.append(tmp_path / f"shard-{part}.safetensors")
        own = Settings(Depth(2), part=(part, shards))
        write_factors(trajectory.base, folders, own, {step: files[-1]}, {step: {}})
    joined = read_factors(files)
    assert set(joined) == set(whole)
    for name, factors in joined.items():
        for key in ("u", "s", "v"):
            assert np.array_equal(getattr(factors.low, key), getattr(whole[name].low, key))
        assert factors.norm == np.float32(whole[name].norm)
        assert np.array_equal(factors.residual, whole[name].residual)


def test_factors_of_bf16_weights_are_subtracted_in_float32(make_trajectory):
    run = make_trajectory(dtype=torch.bfloat16, files=3)
    step = run.steps[-1]
    for name, factors in factor_checkpoint(run.base, run.folders[step], Settings(Depth(2))).items():
        delta = run.update(step, name)
        sigma = np.linalg.svd(delta, compute_uv=False)
        np.testing.assert_allclose(factors.low.s, sigma[:2], atol=1e-5 * sigma[0])
        assert factors.norm == pytest.approx(np.linalg.norm(delta), rel=1e-6)


def test_frozen_matrix_has_zero_factors(make_trajectory):
    name = "model.layers.0.mlp.up_proj.weight"
    run = make_trajectory(frozen=(name,))
    found = factor_checkpoint(run.base, run.folders[run.steps[0]], Settings(Depth(2)))[name]
    assert found.norm == 0
    assert not found.low.s.any()
    assert not found.residual.any()


def test_missing_factor_file_is_one_line(tmp_path):
    with pytest.raises(CheckpointError, match=r"no such file; make it first"):
        read_factors([tmp_path / "no.safetensors"])


# --- gram ---


def dense_gram(trajectory, name: str) -> np.ndarray:
    """Inner products in float64 of updates that were subtracted in float32."""
    rows = trajectory.stacked(name, trajectory.steps)
    return rows @ rows.T


@pytest.mark.parametrize(
    ("dtype", "files"), [(torch.float32, 1), (torch.bfloat16, 1), (torch.bfloat16, 3)]
)
@pytest.mark.parametrize(
    ("piece", "chunk", "block"), [(1 << 17, 320 << 10, 1024), (300, 1000, 64), (7, 1, 16)]
)
def test_gram_against_dense(make_trajectory, monkeypatch, dtype, files, piece, chunk, block):
    monkeypatch.setattr(gram_module, "PIECE", piece)
    monkeypatch.setattr(gram_module, "CHUNK", chunk)
    monkeypatch.setattr(gram_module, "BLOCK", block)
    run = make_trajectory(dtype=dtype, files=files)
    found = gram_run(run.base, run.folders)
    assert found.steps == run.steps
    assert set(found.tensors) == set(run.names), "scope all: norms, biases and embeddings too"
    for name, g in found.tensors.items():
        expected = dense_gram(run, name)
        assert g.dtype == np.float64
        assert np.array_equal(g, g.T)
        np.testing.assert_allclose(g, expected, rtol=1e-6, atol=3e-7 * expected.max())


@pytest.mark.parametrize("shards", [1, 3, 50])
def test_gram_file_and_shards(trajectory, tmp_path, cli, shards):
    files = []
    for part in range(shards):
        files.append(tmp_path / f"shard-{part}.safetensors")
        result = cli("gram", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
                     "--shard", part, "--shards", shards, "--out", files[-1])  # fmt: skip
        assert result.status == 0
        arrays = load_file(files[-1])
        assert arrays["steps"].tolist() == trajectory.steps
    joined, whole = read_gram(files), gram_run(trajectory.base, trajectory.folders)
    assert joined.steps == whole.steps
    assert set(joined.tensors) == set(whole.tensors)
    for name, g in joined.tensors.items():
        assert g.dtype == np.float64
        np.testing.assert_allclose(g, whole.tensors[name], rtol=1e-12)


def test_gram_takes_steps_in_order_whatever_order_they_come_in(trajectory):
    folders = dict(reversed(trajectory.folders.items()))
    found = gram_run(trajectory.base, folders)
    assert found.steps == trajectory.steps
    name = trajectory.names[0]
    np.testing.assert_allclose(found.tensors[name], dense_gram(trajectory, name), rtol=1e-6)


def test_gram_of_a_frozen_tensor_is_zero(make_trajectory):
    run = make_trajectory(frozen=("model.norm.weight",))
    assert not gram_run(run.base, run.folders).tensors["model.norm.weight"].any()


def test_gram_of_a_scalar_tensor(tmp_path, write_model):
    """Some models hold numbers without a dimension, such as layer scales."""
    base = write_model(tmp_path / "base", {"s": torch.tensor(1.0), "w": torch.ones(2, 2)})
    values = {1: 1.5, 2: 3.0}
    folders = {
        step: write_model(tmp_path / f"step-{step}", {"s": torch.tensor(v), "w": torch.ones(2, 2)})
        for step, v in values.items()
    }
    found = gram_run(base, folders)
    np.testing.assert_allclose(found.tensors["s"], [[0.25, 1.0], [1.0, 4.0]])


def test_gram_refuses_a_checkpoint_that_does_not_fit(trajectory, tmp_path, write_model):
    other = dict(trajectory.weights[0])
    del other["model.norm.weight"]
    folder = write_model(tmp_path / "step-5", other)
    with pytest.raises(CheckpointError, match=r"lacks tensor model\.norm\.weight"):
        gram_run(trajectory.base, {5: folder})


def dyadic_run(tmp_path, write_model, steps, shape=(40, 70)) -> tuple[Path, dict[int, Path]]:
    """A run whose updates are small whole numbers, so that no product or sum is ever rounded."""
    rng, name = torch.Generator().manual_seed(0), "model.layers.0.mlp.gate_up_proj.weight"
    weights = torch.randint(-8, 9, shape, generator=rng).float()
    base, folders = write_model(tmp_path / "base", {name: weights}), {}
    for step in steps:
        weights = weights + torch.randint(-2, 3, shape, generator=rng)
        folders[step] = write_model(tmp_path / f"step-{step}", {name: weights})
    return base, folders


def test_extended_gram_has_the_block_sums_of_the_whole_one(tmp_path, write_model):
    """Row after row, or several at once, also of a fused tensor's parts."""
    base, folders = dyadic_run(tmp_path, write_model, [1, 2, 5, 9])
    whole = gram_run(base, folders)
    assert len(whole.tensors) == 3, "the fused tensor, and its two parts"
    for cuts in ([1, 2, 3, 4], [2, 4], [3, 4]):
        found = Gram([], {})
        for cut in cuts:
            found = extend_gram(found, base, dict(list(folders.items())[:cut]))
        assert found.steps == whole.steps
        for name, g in whole.tensors.items():
            assert np.array_equal(found.tensors[name], g)


def test_extended_gram_against_dense(make_trajectory):
    run = make_trajectory(dtype=torch.bfloat16)
    some = gram_run(run.base, {step: run.folders[step] for step in run.steps[:4]})
    found = extend_gram(some, run.base, run.folders)
    for name, g in found.tensors.items():
        expected = dense_gram(run, name)
        assert np.array_equal(g, g.T)
        assert np.array_equal(g[:4, :4], some.tensors[name]), "not computed again"
        np.testing.assert_allclose(g, expected, rtol=1e-6, atol=3e-7 * expected.max())


def test_gram_is_extended_at_its_end_and_by_its_own_model_only(trajectory):
    whole = gram_run(trajectory.base, trajectory.folders)
    with pytest.raises(
        MethodError, match=r"holds steps \[10, 35\], expected the first of \[10, 20"
    ):
        extend_gram(whole.upto([10, 35]), trajectory.base, trajectory.folders)
    other = Gram([10], {"model.norm.weight": np.ones((1, 1))})
    with pytest.raises(MethodError, match=r"lacks model\.embed_tokens\.weight, expected all"):
        extend_gram(other, trajectory.base, trajectory.folders)


def test_upto_keeps_the_steps_that_a_window_sees(trajectory):
    whole = gram_run(trajectory.base, trajectory.folders)
    for steps in (trajectory.steps[:3], [10, 50], trajectory.steps):
        found = whole.upto(steps)
        assert found.steps == steps
        for name in trajectory.names:
            rows = trajectory.stacked(name, steps)
            np.testing.assert_allclose(found.tensors[name], rows @ rows.T, rtol=1e-6)


def test_gram_file_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    gram = Gram([3, 12], {"a": rng.standard_normal((2, 2)), "b": rng.standard_normal((2, 2))})
    write_gram(gram, tmp_path / "g.safetensors", {"version": 1})
    found = read_gram([tmp_path / "g.safetensors"])
    assert found.steps == [3, 12]
    assert all(np.array_equal(found.tensors[name], gram.tensors[name]) for name in "ab")
