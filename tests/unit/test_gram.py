"""Gram matrices of updates: streamed, in shards, extended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.checkpoints.identity import Identity, MadeFrom
from alpharl.errors import CheckpointError, MethodError
from alpharl.spectra import gram as gram_module
from alpharl.spectra.gram import Gram, extend_gram, gram_run, read_gram, write_gram
from safetensors.numpy import load_file

MODEL = Identity(path="m", files={"model.safetensors": (8, 1)})
MODELS = MadeFrom(base=MODEL, checkpoints={3: MODEL, 12: MODEL})


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
        assert (result.status, result.out) == (0, f"wrote {files[-1]}\n")
        arrays = load_file(files[-1])
        assert arrays["steps"].tolist() == trajectory.steps
    joined, whole = read_gram(files), gram_run(trajectory.base, trajectory.folders)
    weights = load_file(trajectory.base / "model.safetensors").values()
    square = sum(float(np.square(w.astype(np.float64)).sum()) for w in weights)
    assert joined.base_square == pytest.approx(square, rel=1e-6)
    assert whole.base_square == pytest.approx(square, rel=1e-6)
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
    updates = {name: rng.standard_normal((2, 5)) for name in "ab"}
    gram = Gram([3, 12], {name: update @ update.T for name, update in updates.items()}, 2.5)
    write_gram(gram, tmp_path / "g.safetensors", MODELS)
    found = read_gram([tmp_path / "g.safetensors"])
    assert found.steps == [3, 12] and found.base_square == 2.5
    assert all(np.array_equal(found.tensors[name], gram.tensors[name]) for name in "ab")
