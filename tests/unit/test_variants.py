"""Rank-k models and their controls against dense reconstruction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from alpharl.errors import CheckpointError
from alpharl.spectra.depth import Depth
from alpharl.spectra.factors import Settings, factor_checkpoint, factor_update
from alpharl.spectra.lowrank import Factors, LowRank
from alpharl.variants.ranks import random_like, rank_parts
from alpharl.variants.recipes import Recipe
from alpharl.variants.store import read_variant
from safetensors.torch import load_file
from tests.unit.updates import (
    UP,
    assert_updates,
    built_update,
    reference,
)


@pytest.mark.parametrize("k", [1, 3, 99])
@pytest.mark.parametrize("kind", ["rank", "unscaled", "without", "full-update"])
def test_rank_model_against_dense(trajectory, tmp_path, cli, kind, k):
    step = trajectory.steps[-1]
    arguments = ["rank", "--base", trajectory.base, "--checkpoint", trajectory.folders[step],
                 "--rank", k, "--kind", kind]  # fmt: skip
    expected = reference(trajectory, step, kind, k)
    assert cli(*arguments, "--out", tmp_path / "dense", "--dense").status == 0
    assert_updates(trajectory, built_update(trajectory, tmp_path / "dense"), expected)
    assert cli(*arguments, "--out", tmp_path / "variant").status == 0
    assert cli("export", tmp_path / "variant", "--out", tmp_path / "model").status == 0
    found = built_update(trajectory, tmp_path / "model")
    assert_updates(trajectory, found, expected)
    for name in set(trajectory.names) - set(trajectory.matrices()):
        assert not found[name].any(), "embedding, norms and biases stay at base"
    if kind in ("rank", "without", "full-update") and k < 8:
        for name in trajectory.matrices():
            full = np.linalg.norm(trajectory.update(step, name))
            assert np.linalg.norm(found[name]) == pytest.approx(full, rel=1e-4)


def test_unscaled_flag_is_the_unscaled_kind(trajectory, tmp_path, cli):
    step = trajectory.steps[0]
    arguments = ["rank", "--base", trajectory.base, "--checkpoint", trajectory.folders[step],
                 "--rank", 2, "--unscaled", "--dense", "--out", tmp_path / "m"]  # fmt: skip
    assert cli(*arguments).status == 0
    expected = reference(trajectory, step, "unscaled", 2)
    assert_updates(trajectory, built_update(trajectory, tmp_path / "m"), expected)


@pytest.mark.parametrize("kind", ["rank", "unscaled", "random", "without", "full-update"])
def test_stored_factors_give_the_same_model(trajectory, tmp_path, cli, kind):
    """Also where more triplets are stored than the variant uses."""
    step, files = trajectory.steps[-1], []
    where = ["--base", trajectory.base, "--checkpoint", trajectory.folders[step]]
    for shard in range(2):
        files.append(tmp_path / f"F-{shard}.safetensors")
        cli("factors", *where, "--rank", 4, "--shard", shard, "--shards", 2, "--out", files[-1])
    for name, more in (("a", []), ("b", ["--factors", *files])):
        result = cli(
            "rank", *where, "--rank", 2, "--kind", kind, "--dense", "--out", tmp_path / name, *more
        )
        assert result.status == 0
    one, other = (load_file(tmp_path / x / "model.safetensors") for x in "ab")
    for name, weights in one.items():
        torch.testing.assert_close(other[name], weights, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["rank", "unscaled", "without"])
def test_rank_deeper_than_what_is_stored_is_refused(trajectory, tmp_path, cli, kind):
    step = trajectory.steps[0]
    where = ["--base", trajectory.base, "--checkpoint", trajectory.folders[step]]
    cli("factors", *where, "--rank", 2, "--out", tmp_path / "F.safetensors")
    result = cli("rank", *where, "--rank", 3, "--kind", kind, "--out", tmp_path / "v",
                 "--factors", tmp_path / "F.safetensors")  # fmt: skip
    assert "2 triplets are stored, 3 are needed for rank 3; factor again" in result.error
    assert not (tmp_path / "v").exists()


@pytest.mark.parametrize("k", [1, 4, 99])
def test_random_control(trajectory, k):
    step = trajectory.steps[-1]
    factors = factor_checkpoint(trajectory.base, trajectory.folders[step], Settings(Depth(1)))
    blend, found = rank_parts(Recipe("random", Depth(k)), step, factors, seed=5)
    assert blend == {}
    assert set(found) == set(trajectory.matrices())
    for name, low in found.items():
        delta = trajectory.update(step, name)
        rank = min(k, *delta.shape)
        assert low.u.shape == (delta.shape[0], rank)
        np.testing.assert_allclose(low.u.T @ low.u, np.eye(rank), atol=1e-12)
        np.testing.assert_allclose(low.v.T @ low.v, np.eye(rank), atol=1e-12)
        assert np.ptp(low.s) == 0
        assert np.linalg.norm(low.dense()) == pytest.approx(np.linalg.norm(delta), rel=1e-6)
    again = rank_parts(Recipe("random", Depth(k)), step, factors, seed=5)[1]
    alone = random_like(UP, factors[UP], k, seed=5)
    other = rank_parts(Recipe("random", Depth(k)), step, factors, seed=6)[1]
    assert np.array_equal(again[UP].u, found[UP].u)
    assert np.array_equal(alone.v, found[UP].v), "whatever tensors stand beside it"
    assert not np.array_equal(other[UP].u, found[UP].u)
    second = UP.replace("layers.0", "layers.1")
    assert not np.array_equal(found[second].u, found[UP].u)


def test_random_directions_do_not_know_the_update():
    """Mean squared cosine to a fixed direction is 1/m over many seeds."""
    like = factor_update(torch.randn(20, 15, generator=torch.Generator().manual_seed(0)), 1)
    cosines = [float(random_like("w", like, 1, s).u[:, 0] @ like.low.u[:, 0]) for s in range(2000)]
    # Var of a squared cosine in 20 dimensions: 2 (m - 1) / (m^2 (m + 2)).
    error = (2 * 19 / (400 * 22) / 2000) ** 0.5
    assert np.mean(np.square(cosines)) == pytest.approx(1 / 20, abs=4 * error)


def test_random_verb_is_reproducible(trajectory, tmp_path, cli):
    step = trajectory.steps[0]
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        cli("rank", "--base", trajectory.base, "--checkpoint", trajectory.folders[step],
            "--kind", "random", "--rank", 2, "--seed", seed, "--out", tmp_path / name)  # fmt: skip
    a, b, c = ((tmp_path / x / "adapter/adapter_model.safetensors").read_bytes() for x in "abc")
    assert a == b
    assert a != c


def test_frozen_and_zero_updates(make_trajectory, tmp_path, cli):
    run = make_trajectory(frozen=(UP,))
    for kind in ("rank", "unscaled", "random", "without", "full-update"):
        out = tmp_path / kind
        result = cli("rank", "--base", run.base, "--checkpoint", run.folders[10],
                     "--kind", kind, "--dense", "--out", out)  # fmt: skip
        assert result.status == 0, result.err
        found = built_update(run, out)
        assert not found[UP].any()
        assert found[UP.replace("up", "gate")].any()


def test_without_all_of_a_low_rank_update_leaves_the_base():
    """No remainder is blown up from rounding errors."""
    rng = np.random.default_rng(0)
    delta = torch.from_numpy(np.outer(rng.standard_normal(9), rng.standard_normal(7))).float()
    assert rank_parts(Recipe("without", Depth(1)), 5, {UP: factor_update(delta, 2)}) == ({}, {})


def test_matrices_outside_the_papers_scope_are_left_out():
    low = LowRank(np.ones((3, 1)), np.ones(1), np.ones((2, 1)))
    factors = {"model.embed_tokens.weight": Factors(low, 1.0, np.zeros(1))}
    for kind in ("rank", "unscaled", "random", "without", "full-update"):
        assert rank_parts(Recipe(kind, Depth(1)), 5, factors) == ({}, {})


def test_checkpoint_without_a_step_in_its_name_needs_one(trajectory, tmp_path, cli, write_model):
    final = write_model(tmp_path / "final", trajectory.weights[90])
    arguments = ["rank", "--base", trajectory.base, "--checkpoint", final, "--out", tmp_path / "v"]
    assert "found no step in the name; give it with --step" in cli(*arguments).error
    assert cli(*arguments, "--step", 90).status == 0
    assert read_variant(tmp_path / "v").meta["step"] == 90


def test_shape_mismatch_is_one_line(trajectory, tmp_path, cli, write_model):
    weights = dict(trajectory.weights[10])
    weights[UP] = torch.zeros(3, 3)
    other = write_model(tmp_path / "step-1", weights)
    result = cli("rank", "--base", trajectory.base, "--checkpoint", other, "--out", tmp_path / "v")
    assert f"{UP} has shape [3, 3], expected [12, 8]" in result.error
    with pytest.raises(CheckpointError):
        factor_checkpoint(trajectory.base, other, Settings(Depth(1)))
