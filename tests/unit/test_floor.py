"""The bf16 floor against the numbers of bfloat16 itself, and against hand-made updates."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from alpharl.checkpoints.identity import made_from
from alpharl.errors import CheckpointError
from alpharl.measures.bf16 import (
    Leading,
    bf16_spacing,
    rounded_update,
    rounding_noise,
    simulate,
    unmoved_share,
)
from alpharl.measures.floor import NUMBERS, Floor
from alpharl.measures.run import measure_run
from alpharl.spectra.depth import Depth
from alpharl.spectra.factors import Settings, factor_checkpoint, write_factors

M, N = 512, 768
Q = "model.layers.0.self_attn.q_proj.weight"
UP = "model.layers.0.mlp.up_proj.weight"


def floor_table(
    base: Path, checkpoint: Path, factors: dict | None = None, seed: int = 0
) -> pd.DataFrame:
    """The measure's table alone, from factors that are made for it unless they are given."""
    if factors is None:
        factors = factor_checkpoint(base, checkpoint, Settings(Depth(1)))
    measures = {"floor": Floor(seed=seed)}
    return measure_run(base, {90: checkpoint}, measures, {90: factors})["floor"]


def gaussian(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rank_one(mean_entry: float) -> Leading:
    """A rank-1 update whose entries have this mean magnitude."""
    u, v = gaussian(1, M), gaussian(2, N)
    norm = mean_entry * float((u.norm() * v.norm()) / torch.outer(u, v).abs().mean())
    return Leading(u / u.norm(), norm, v / v.norm(), norm)


@pytest.fixture(scope="module")
def weights() -> torch.Tensor:
    """A bf16 matrix of standard deviation 0.02, as a language model's are, in float32."""
    return (0.02 * gaussian(0, M, N)).bfloat16().float()


def test_spacing_is_the_gap_to_the_next_bfloat16():
    magnitudes = 2.0 ** torch.linspace(-126, 120, 4000)
    values = torch.cat([magnitudes, -magnitudes, torch.tensor([1.0, 2.0, 0.02])]).bfloat16()
    further = torch.nextafter(values, torch.full_like(values, torch.inf).copysign(values))
    gaps = (further.double() - values.double()).abs()
    assert torch.equal(bf16_spacing(values.float()).double(), gaps)


def test_spacing_of_what_is_too_small_is_that_of_the_smallest_normal():
    small = torch.tensor([0.0, -0.0, 2.0**-130, -(2.0**-126)])
    assert bf16_spacing(small).tolist() == [2.0**-133] * 4


def test_spacing_of_a_float32_weight_is_that_of_its_binade():
    assert bf16_spacing(torch.tensor([1.9999, -2.0001])).tolist() == [2.0**-7, 2.0**-6]


def test_a_small_rank_one_update_is_lost_in_bf16(weights):
    """Mean entry 6e-6 on weights of 0.02: most do not move, half of s1 is left."""
    found = simulate(weights, rank_one(6e-6), Q, seed=0)
    assert found["rounded_unmoved"] == pytest.approx(0.91, abs=0.01)
    assert found["rounded_s1_ratio"] == pytest.approx(0.5, abs=0.06)
    assert found["rounded_share"] == pytest.approx(0.43, abs=0.05)


def test_a_large_rank_one_update_is_intact(weights):
    found = simulate(weights, rank_one(1.2e-4), Q, seed=0)
    assert found["rounded_s1_ratio"] == pytest.approx(1, abs=0.01)
    assert found["rounded_share"] > 0.97


def test_rounding_follows_bfloat16_entry_by_entry():
    """From 1 the next is 1.0078: 0.003 is lost, 0.005 becomes the whole gap."""
    update = Leading(torch.tensor([1.0]), 5e-3, torch.tensor([0.6, 1.0]), 5e-3)
    assert rounded_update(torch.ones(1, 2), update).tolist() == [[0.0, 2.0**-7]]


def test_noise_has_the_size_and_the_spectrum_of_uniform_noise(weights):
    found = simulate(weights, rank_one(6e-6), Q, seed=3)
    norm = rank_one(6e-6).norm
    # A uniform number within half a gap has variance gap^2 / 12.
    expected = float(bf16_spacing(weights).double().square().sum() / 12) ** 0.5 / norm
    assert found["noise_norm_ratio"] == pytest.approx(expected, rel=0.01)
    edge = (M**0.5 + N**0.5) ** 2 / (M * N)
    assert found["noise_share"] == pytest.approx(edge, rel=0.05)
    ratio = found["noise_s1_ratio"] ** 2
    assert ratio == pytest.approx(found["noise_norm_ratio"] ** 2 * found["noise_share"], rel=1e-4)


def test_noise_depends_on_seed_and_name_only(weights):
    noise = rounding_noise(weights, Q, 0)
    assert torch.equal(noise, rounding_noise(weights, Q, 0))
    assert not torch.equal(noise, rounding_noise(weights, Q, 1))
    assert not torch.equal(noise, rounding_noise(weights, UP, 0))
    assert (noise.abs() <= bf16_spacing(weights) / 2).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_unmoved_counts_equal_stored_values(dtype):
    before = torch.tensor([[1.0, 2.0, 3.0, 0.0], [5.0, 6.0, 7.0, 8.0]], dtype=dtype)
    after = before.clone()
    after[0, 1], after[1, 3] = 2.5, -8.0
    after[0, 3] = -0.0
    assert unmoved_share(before, after) == 6 / 8
    assert unmoved_share(before.bfloat16(), after) == 6 / 8


def test_float64_values_are_not_compared_in_float32():
    before = torch.ones(1, 2, dtype=torch.float64)
    assert unmoved_share(before, before + 1e-12) == 0


def test_table_of_a_run(make_trajectory):
    run = make_trajectory(dtype=torch.bfloat16)
    table = floor_table(run.base, run.folders[90]).set_index("tensor")
    assert sorted(table.index) == sorted(run.matrices())
    for name in run.matrices():
        delta = run.update(90, name)
        s = np.linalg.svd(delta, compute_uv=False)
        assert table.share[name] == pytest.approx(s[0] ** 2 / (delta**2).sum(), rel=1e-5)
        assert table.unmoved[name] == (delta == 0).mean()
    assert table.loc[Q, ["layer", "module"]].tolist() == [0, "q_proj"]


def test_stored_factors_give_the_same_table(trajectory, tmp_path, cli):
    base, checkpoint = trajectory.base, trajectory.folders[90]
    out = {1: tmp_path / "f.safetensors"}
    write_factors(base, {1: checkpoint}, Settings(Depth(4)), out, made_from(base, {1: checkpoint}))
    plain = ["measure", "floor", "--base", base, "--checkpoints", f"90={checkpoint}"]
    assert cli(*plain, "--out", tmp_path / "a").status == 0
    done = cli(*plain, "--out", tmp_path / "b", "--factors", tmp_path / "f.safetensors")
    assert done.out.splitlines()[1].split() == ["module", "matrices", *Floor.columns]
    first, second = (pd.read_parquet(tmp_path / name / "floor.parquet") for name in "ab")
    pd.testing.assert_frame_equal(first, second, rtol=1e-5)
    pd.testing.assert_frame_equal(first, pd.read_csv(tmp_path / "a" / "floor.csv"))


def test_the_tensors_beside_it_do_not_change_a_row(trajectory, tmp_path, write_model):
    table = floor_table(trajectory.base, trajectory.folders[90], seed=5)
    folders = [
        write_model(tmp_path / str(step), {UP: trajectory.weights[step][UP]}) for step in (0, 90)
    ]
    alone = floor_table(*folders, seed=5)
    together = table[table.tensor == UP].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, together)


def test_a_frozen_matrix_has_nulls_and_no_warning(make_trajectory, tmp_path):
    run = make_trajectory(frozen=(Q,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = floor_table(run.base, run.folders[90])
    row = table[table.tensor == Q].iloc[0]
    assert row.unmoved == 1.0
    assert row[NUMBERS[1:]].isna().all()
    assert table[table.tensor != Q][NUMBERS].notna().all().all()


def test_factors_of_another_shard_are_refused(trajectory):
    base, checkpoint = trajectory.base, trajectory.folders[90]
    part = factor_checkpoint(base, checkpoint, Settings(Depth(1), part=(0, 2)))
    with pytest.raises(CheckpointError, match=r"found no model\.layers.* give all shards"):
        floor_table(base, checkpoint, part)
