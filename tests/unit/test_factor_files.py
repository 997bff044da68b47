"""Factor files: what they hold, their shards, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from alpharl.checkpoints.identity import made_from
from alpharl.errors import CheckpointError
from alpharl.spectra.depth import Depth
from alpharl.spectra.factors import Settings, factor_checkpoint, write_factors
from alpharl.spectra.lowrank import factors_made_from, read_factors, read_metadata
from safetensors import safe_open
from safetensors.numpy import load_file


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
    assert len(meta.pop("seal")) == 64
    assert meta == read_metadata(out)
    models = made_from(trajectory.base, {step: trajectory.folders[step]})
    assert factors_made_from([out]) == models
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
        write_factors(
            trajectory.base, folders, own, {step: files[-1]}, made_from(trajectory.base, folders)
        )
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
