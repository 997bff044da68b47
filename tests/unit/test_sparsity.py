"""Sparsity of updates against dense float64, hand-made cases, and the normal distribution."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from alpharl.checkpoints import stream
from alpharl.errors import CheckpointError
from alpharl.measures import unchanged
from alpharl.measures.run import measure_run
from alpharl.measures.sparsity import COLUMNS, DEFINITIONS, NULLS, OVERALL, Sparsity
from tests.unit.test_adapter import merged_by_peft, save_adapter, save_base

NAME = "model.layers.0.mlp.up_proj.weight"


def sparsity_table(base: Path, checkpoints: dict[int, Path], seed: int = 0) -> pd.DataFrame:
    """The measure's table alone."""
    return measure_run(base, checkpoints, {"sparsity": Sparsity(seed=seed)})["sparsity"]


def shares(write_model, folder, before: torch.Tensor, after: torch.Tensor) -> pd.Series:
    """The only row of a model of one tensor."""
    base = write_model(folder / "base", {NAME: before})
    end = write_model(folder / "end", {NAME: after})
    table = sparsity_table(base, {7: end})
    assert table.tensor.tolist() == [NAME, OVERALL]
    return table.iloc[0]


def dense(old: np.ndarray, new: np.ndarray) -> list[float]:
    """The definitions in float64."""
    gap, larger = abs(new - old), np.maximum(abs(old), abs(new))
    return [(old == new).mean(), (gap <= 1e-5).mean(), (gap <= 1e-3 * larger).mean()]


def phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_shares_are_those_of_dense_float64(make_trajectory, dtype, monkeypatch):
    # Chunks of 7 elements, so that every tensor has several and a last one that is shorter.
    monkeypatch.setattr(unchanged, "CHUNK", 7)
    run = make_trajectory(dtype=dtype)
    table = sparsity_table(run.base, run.folders)
    assert list(table.columns) == COLUMNS
    assert table.step.tolist() == [s for s in run.steps for _ in [*run.names, OVERALL]]
    for step in run.steps:
        rows = table[table.step == step].set_index("tensor")
        pairs = {
            name: [run.weights[s][name].double().numpy().ravel() for s in (0, step)]
            for name in run.names
        }
        pairs[OVERALL] = [np.concatenate(both) for both in zip(*pairs.values(), strict=True)]
        for name, (old, new) in pairs.items():
            assert rows.entries[name] == old.size
            assert rows.norm[name] == pytest.approx(np.linalg.norm(new - old), rel=1e-6)
            assert rows.loc[name, list(DEFINITIONS)].tolist() == dense(old, new)


def test_definitions_differ_as_they_should(tmp_path, write_model):
    """Changes of 0, 2^-18, 2^-11 and 1 at 0, 2^-17, 1 and 256: four answers to one question."""
    old = torch.tensor([[0.0, 2.0**-17, 1.0, 256.0]])
    new = old + torch.tensor([[0.0, 2.0**-18, 2.0**-11, 1.0]])
    found = shares(write_model, tmp_path, old, new)
    assert found.equal == 1 / 4
    assert found.close == 2 / 4, "2^-18 is 3.8e-6: no change, though the weight grew by half"
    # 2^-11 is 4.9e-4 of 1; 1 is 3.9e-3 of 257.
    assert found.bf16 == 2 / 4


def test_in_bfloat16_files_the_relative_tolerance_is_equality(tmp_path, write_model):
    """Of each value and its neighbour in bfloat16, over 30 binades and both signs."""
    generator = torch.Generator().manual_seed(0)
    sign = torch.tensor([1.0, -1.0]).repeat(2000)
    old = sign * 2.0 ** (30 * torch.rand(4000, generator=generator) - 25)
    old = old.bfloat16()
    moved = torch.rand(4000, generator=generator) < 0.25
    new = torch.where(moved, torch.nextafter(old, torch.full_like(old, torch.inf)), old)
    found = shares(write_model, tmp_path, old, new)
    assert found.equal == found.bf16 == float((~moved).double().mean())
    assert found.close > found.equal, "small weights have neighbours that are nearer than 1e-5"


def test_values_are_compared_across_dtypes(tmp_path, write_model):
    old = torch.tensor([[1.0, 1.0 + 2.0**-9, -0.0, 3.0]])
    found = shares(write_model, tmp_path, old, old.bfloat16())
    assert found.equal == 3 / 4, "1 + 2^-9 is no bfloat16"


def test_float64_values_are_not_compared_in_float32(tmp_path, write_model):
    old = torch.ones(1, 4, dtype=torch.float64)
    assert shares(write_model, tmp_path, old, old + 1e-12).equal == 0


def test_the_null_in_float32_is_the_normal_distribution(tmp_path, write_model):
    """Entries of 0.02 moved by 2e-5 each: of noise of that size, P(|e| <= 1e-5) = P(|z| <= 0.5)."""
    old = torch.full((400, 1000), 0.02)
    found = shares(write_model, tmp_path, old, old + 2e-5)
    step = float(((old + 2e-5) - old).double().mean())
    assert found.close == 0 and found.equal == 0
    assert found.null_close == pytest.approx(2 * phi(1e-5 / step) - 1, abs=4e-3)
    # The larger magnitude is 0.02 or a little more, so the tolerance is 2e-5: one deviation.
    assert found.null_bf16 == pytest.approx(2 * phi(1) - 1, abs=5e-3)
    assert found.null_equal < 1e-3


def test_the_null_in_bfloat16_is_what_rounding_leaves(tmp_path, write_model):
    """All entries at 1.5, where neighbours are 2^-7 apart; a quarter of them move by one gap.

    Noise of deviation d moves an entry by k gaps with P(|z| within (k +- 1/2) gap/d). At
    d = 0.4332 gap the mean square is 1/4 gap^2: 0.2484 move, 0.0005 of them by two.
    """
    old = torch.full((400, 1000), 1.5, dtype=torch.bfloat16)
    new = old.clone()
    new[:100] += 2.0**-7
    found = shares(write_model, tmp_path, old, new)
    assert found.equal == 0.75
    assert found.null_equal == pytest.approx(1 - 2 * phi(-0.5 / 0.4332), abs=4e-3)
    assert found.null_norm == pytest.approx(found.norm, rel=0.01)
    assert found.null_bf16 == found.null_equal


@pytest.mark.parametrize("size", [3e-6, 1e-5, 1e-4])
def test_a_gaussian_update_is_as_sparse_as_its_null(tmp_path, write_model, size):
    """Also where storage in bfloat16 lost most of it, so that its norm is not what it was."""
    generator = torch.Generator().manual_seed(1)
    old = (0.02 * torch.randn(500, 800, generator=generator)).bfloat16()
    new = (old.float() + size * torch.randn(500, 800, generator=generator)).bfloat16()
    found = shares(write_model, tmp_path, old, new)
    assert found.null_norm == pytest.approx(found.norm, rel=0.02)
    for name in DEFINITIONS:
        assert found[f"null_{name}"] == pytest.approx(found[name], abs=4e-3)
    assert abs(found.norm / (size * old.numel() ** 0.5) - 1) > 0.03


def test_the_null_depends_on_seed_and_tensor_alone(make_trajectory, tmp_path, write_model):
    run = make_trajectory()
    keys = ["tensor", *NULLS.values()]
    whole = sparsity_table(run.base, run.folders, seed=3)
    assert not whole[keys].equals(sparsity_table(run.base, run.folders, seed=4)[keys])
    last = sparsity_table(run.base, {90: run.folders[90]}, seed=3)
    part = whole[whole.step == 90].reset_index(drop=True)
    pd.testing.assert_frame_equal(last, part)
    folders = [
        write_model(tmp_path / str(s), {NAME: run.weights[s][NAME]}, files=1) for s in (0, 90)
    ]
    alone = sparsity_table(folders[0], {90: folders[1]}, seed=3)
    own, together = (t[t.tensor == NAME].reset_index(drop=True) for t in (alone, part))
    pd.testing.assert_frame_equal(own, together)


def test_nothing_moved_is_all_unchanged_beside_its_null(tmp_path, write_model):
    old = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    found = shares(write_model, tmp_path, old, old)
    assert found[[*DEFINITIONS, *NULLS.values()]].tolist() == [1.0] * 6
    assert found.norm == found.null_norm == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_refused(tmp_path, write_model, bad):
    old = torch.ones(4, 4)
    new = old.clone()
    new[1, 2] = bad
    with pytest.raises(CheckpointError, match=r"end: model\.layers.* holds 1 values"):
        shares(write_model, tmp_path, old, new)


def test_other_tensors_than_the_base_are_refused(trajectory, tmp_path, write_model):
    other = write_model(tmp_path / "other", {NAME: torch.ones(2, 2)})
    with pytest.raises(CheckpointError):
        sparsity_table(trajectory.base, {1: other})


def test_no_tensor_is_held(monkeypatch, tmp_path, write_model):
    """What a thread holds is chunks, however large the tensor."""
    asked = []
    scratch = stream.Streamer.scratch

    def noted(self, key, *shape, dtype=torch.float32):
        asked.append(math.prod(shape) * dtype.itemsize)
        return scratch(self, key, *shape, dtype=dtype)

    monkeypatch.setattr(stream.Streamer, "scratch", noted)
    monkeypatch.setattr(unchanged, "CHUNK", 1000)
    old = torch.zeros(500, 500)
    shares(write_model, tmp_path, old, old + 1)
    assert max(asked) == 4000


def test_the_verb_writes_the_table_and_shows_all_tensors_together(trajectory, tmp_path, cli):
    out = tmp_path / "measures"
    common = ["measure", "sparsity", "--base", trajectory.base]
    common += ["--checkpoints", trajectory.pattern]
    done = cli(*common, "--steps", 10, 90, "--option", "sparsity.seed=5", "--out", out,
               "--json")  # fmt: skip
    assert done.status == 0
    table = pd.read_parquet(out / "sparsity.parquet")
    folders = {step: trajectory.folders[step] for step in (10, 90)}
    pd.testing.assert_frame_equal(table, sparsity_table(trajectory.base, folders, seed=5))
    pd.testing.assert_frame_equal(table, pd.read_csv(out / "sparsity.csv"))
    shown = json.loads(done.out)
    whole = table[(table.tensor == OVERALL) & (table.step == 90)].drop(columns="tensor")
    assert shown["last_step"] == {"sparsity": whole.to_dict("records")}
    assert shown["written"] == [str(out / "sparsity.parquet"), str(out / "sparsity.csv")]
    assert cli(*common, "--out", tmp_path / "all").status == 0
    measured = pd.read_parquet(tmp_path / "all" / "sparsity.parquet")
    assert sorted(set(measured.step)) == trajectory.steps


def test_an_adapter_is_compared_as_the_model_that_it_makes(tmp_path):
    base = save_base(tmp_path / "base")
    adapter = save_adapter(tmp_path / "adapter", base, r=2)
    merged_by_peft(adapter, base, torch.float32).save_pretrained(tmp_path / "merged")
    columns = ["entries", "norm", *DEFINITIONS]
    one, other = (
        sparsity_table(base, {1: folder}).set_index("tensor")[columns]
        for folder in (adapter, tmp_path / "merged")
    )
    assert list(one.index) == list(other.index)
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-3)
    assert one.loc[OVERALL, "equal"] < 1
