"""The builder: blends and adapters on a base, and the digests of what they make."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.checkpoints.manifest import KnownDigests
from alpharl.spectra.lowrank import LowRank
from alpharl.variants.build import build_dense
from alpharl.variants.store import read_adapter, read_variant, write_variant
from safetensors.torch import load_file
from tests.unit.updates import UP, assert_updates, built_update, low_rank, own_variant


def test_blend_and_adapter_together(trajectory, tmp_path, cli):
    """On the same tensor, on different ones, with ranks that differ and weights that are zero."""
    q, down = "model.layers.1.self_attn.q_proj.weight", "model.layers.0.mlp.down_proj.weight"
    norm = "model.norm.weight"
    blend = {UP: {10: 0.5, 50: -1.25}, norm: {20: 3.0}, down: {35: 0.0}}
    adapter = {UP: low_rank(trajectory, UP, 1, 0), q: low_rank(trajectory, q, 3, 1)}
    variant = own_variant(trajectory, tmp_path / "v", blend, adapter)
    assert cli("export", variant, "--out", tmp_path / "m").status == 0
    expected = {name: 0 * trajectory.update(10, name) for name in trajectory.names}
    for name, weights in blend.items():
        for step, weight in weights.items():
            expected[name] = expected[name] + weight * trajectory.update(step, name)
    for name, low in adapter.items():
        expected[name] = expected[name] + low.u @ np.diag(low.s) @ low.v.T
    found = built_update(trajectory, tmp_path / "m")
    assert_updates(trajectory, found, expected, 1e-6)
    untouched = set(trajectory.names) - {UP, norm, q}
    assert not any(found[name].any() for name in untouched)


def test_adapter_file_round_trip(trajectory, tmp_path):
    adapter = {UP: low_rank(trajectory, UP, 3, 0)}
    q = "model.layers.1.self_attn.q_proj.weight"
    adapter[q] = low_rank(trajectory, q, 1, 1)
    variant = read_variant(own_variant(trajectory, tmp_path / "v", {}, adapter))
    found = read_adapter(variant)
    assert set(found) == set(adapter)
    for name, (b, a) in found.items():
        assert b.dtype == a.dtype == np.float32
        assert b.shape[1] == a.shape[0] == 3, "one rank for all, padded with zeros"
        np.testing.assert_allclose(b.astype(float) @ a, adapter[name].dense(), atol=1e-8)
    config = json.loads((variant.adapter / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 3, "scaling 1"
    modules = sorted(name.removesuffix(".weight") for name in adapter)
    assert config["target_modules"] == modules, "and no module of other layers"
    assert config["bias"] == "none"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_base_is_rounded_once(make_trajectory, tmp_path, cli, dtype):
    """bf16(base + sum), not a sum of rounded parts."""
    run = make_trajectory(dtype=dtype, files=2)
    blend = {UP: {step: 1 / 3 for step in run.steps}}
    adapter = {UP: low_rank(run, UP, 2, 0)}
    variant = own_variant(run, tmp_path / "v", blend, adapter)
    assert cli("export", variant, "--out", tmp_path / "m").status == 0
    model = load_file(tmp_path / "m" / "model.safetensors")
    assert {t.dtype for t in model.values()} == {dtype}
    exact = run.weights[0][UP].double().numpy() + adapter[UP].dense()
    exact += sum(run.update(step, UP) for step in run.steps) / 3
    equal = model[UP] == torch.from_numpy(exact).to(dtype)
    # A float32 sum next to the middle between two bf16 numbers may fall on its other side.
    assert equal.float().mean() >= 0.97
    torch.testing.assert_close(model[UP].double(), torch.from_numpy(exact), rtol=2**-8, atol=1e-6)
    for name in set(run.names) - {UP}:
        assert torch.equal(model[name], run.weights[0][name]), "unchanged tensors keep their bytes"


def test_base_of_mixed_dtypes_keeps_each(tmp_path, write_model, cli):
    name = "model.layers.0.mlp.up_proj.weight"
    tensors = {
        name: torch.randn(4, 3).to(torch.bfloat16),
        "norm": torch.ones(3),
        "n": torch.arange(3),
    }
    base = write_model(tmp_path / "base", tensors)
    moved = {key: t + 1 for key, t in tensors.items()}
    step = write_model(tmp_path / "step-7", moved)
    assert cli("rank", "--base", base, "--checkpoint", step, "--kind", "full-update",
               "--dense", "--out", tmp_path / "m").status == 0  # fmt: skip
    found = load_file(tmp_path / "m" / "model.safetensors")
    assert {key: t.dtype for key, t in found.items()} == {
        key: t.dtype for key, t in tensors.items()
    }
    assert torch.equal(found[name], moved[name])
    assert torch.equal(found["n"], tensors["n"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_last_checkpoint_as_a_blend_is_that_checkpoint(make_trajectory, tmp_path, cli, dtype):
    """`last`: "the window's last checkpoint, unchanged", bit by bit."""
    run = make_trajectory(dtype=dtype)
    blend = {name: {50: 1.0} for name in run.names}
    assert (
        cli("export", own_variant(run, tmp_path / "v", blend, {}), "--out", tmp_path / "m").status
        == 0
    )
    found = load_file(tmp_path / "m" / "model.safetensors")
    assert all(torch.equal(found[name], run.weights[50][name]) for name in run.names)


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("blend", "base: has no tensor {} that the variant changes"),
        ("adapter", "for {}, expected an update of a tensor of the base"),
    ],
)
def test_unknown_tensor_is_refused_and_leaves_nothing(trajectory, tmp_path, cli, where, line):
    name = "model.layers.9.mlp.up_proj.weight"
    low = LowRank(np.ones((3, 1)), np.ones(1), np.ones((2, 1)))
    parts = ({name: {10: 1.0}}, {}) if where == "blend" else ({}, {name: low})
    variant = own_variant(trajectory, tmp_path / "v", *parts)
    result = cli("export", variant, "--out", tmp_path / "m")
    assert line.format(name) in result.error
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


def test_failure_half_way_leaves_nothing(make_trajectory, tmp_path, cli, write_model):
    run = make_trajectory()
    weights = {name: t.clone() for name, t in run.weights[10].items()}
    weights["model.norm.weight"][0] = float("nan")  # the last tensor
    write_model(run.folders[10], weights)
    blend = {name: {10: 1.0} for name in run.names}
    variant = own_variant(run, tmp_path / "v", blend, {})
    before = sorted(tmp_path.iterdir())
    assert (
        "model.norm.weight holds 1 values" in cli("export", variant, "--out", tmp_path / "m").error
    )
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("verb", ["export", "rank"])
def test_dense_model_never_replaces_a_folder(trajectory, tmp_path, cli, verb):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine.txt").write_text("keep")
    if verb == "export":
        variant = own_variant(trajectory, tmp_path / "v", {UP: {10: 1.0}}, {})
        result = cli("export", variant, "--out", tmp_path / "m")
    else:
        result = cli("rank", "--base", trajectory.base, "--checkpoint", trajectory.folders[10],
                     "--dense", "--out", tmp_path / "m")  # fmt: skip
    assert "exists already" in result.error
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("verb", ["rank", "forecast"])
def test_variant_never_replaces_a_folder_that_is_not_one(trajectory, tmp_path, cli, verb):
    """`--out .` or `--out ~/models` must not remove what lies there."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.txt").write_text("keep")
    arguments = {
        "rank": ["--checkpoint", trajectory.folders[10]],
        "forecast": ["--checkpoints", trajectory.pattern, "--through", 50, "--method", "expo",
                     "--target-step", 90],
    }[verb]  # fmt: skip
    result = cli(verb, "--base", trajectory.base, *arguments, "--out", tmp_path / "models")
    assert (tmp_path / "models" / "mine.txt").is_file()
    assert result.status == 1


def test_variant_replaces_an_older_variant(trajectory, tmp_path):
    own_variant(trajectory, tmp_path / "v", {UP: {10: 1.0}}, {UP: low_rank(trajectory, UP, 1, 0)})
    own_variant(trajectory, tmp_path / "v", {}, {UP: low_rank(trajectory, UP, 1, 1)})
    assert read_variant(tmp_path / "v").blend == {}
    own_variant(trajectory, tmp_path / "v", {UP: {20: 2.0}}, {})
    assert read_variant(tmp_path / "v").blend == {UP: {20: 2.0}}
    assert read_variant(tmp_path / "v").adapter is None


@pytest.mark.parametrize("found", ["no such folder", "found no variant.json"])
def test_export_of_what_is_no_variant_is_one_line(tmp_path, cli, found):
    if "variant.json" in found:
        (tmp_path / "v").mkdir()
    result = cli("export", tmp_path / "v", "--out", tmp_path / "m")
    assert f"v: {found}, expected an adapter or a blend" in result.error


def test_export_of_an_undefined_forecast_is_refused(trajectory, tmp_path, cli):
    """It has no model; the base under its name would be a lie."""
    (tmp_path / "S.csv").write_text("step,accuracy\n10,0.5\n20,0.5\n35,0.5\n50,0.5\n")
    arguments = ["forecast", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
                 "--through", 50, "--target-step", 90, "--method", "alpharl-paper",
                 "--scores", tmp_path / "S.csv", "--record-undefined"]  # fmt: skip
    assert cli(*arguments, "--out", tmp_path / "v").status == 0
    assert "undefined" in cli("export", tmp_path / "v", "--out", tmp_path / "m").error
    assert not (tmp_path / "m").exists()


def test_dense_model_of_an_undefined_forecast_is_refused(trajectory, tmp_path, cli):
    (tmp_path / "S.csv").write_text("step,accuracy\n10,0.5\n20,0.5\n35,0.5\n50,0.5\n")
    cli("forecast", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
        "--through", 50, "--target-step", 90, "--method", "alpharl-paper", "--dense",
        "--scores", tmp_path / "S.csv", "--record-undefined", "--out", tmp_path / "m")  # fmt: skip
    assert not (tmp_path / "m" / "model.safetensors").exists()


def test_relative_paths_move_with_the_study(make_trajectory, tmp_path, monkeypatch):
    """A whole folder is moved; its variants still find their base and checkpoints."""
    make_trajectory("study")
    monkeypatch.chdir(tmp_path)
    write_variant(
        Path("study/variants/a"), Path("study/base"), {10: Path("study/run/step-10")},
        {}, {UP: {10: 1.0}},
    )  # fmt: skip
    (tmp_path / "study").rename(tmp_path / "moved")
    variant = read_variant(Path("moved/variants/a"))
    assert variant.base == Path("moved/base")
    assert variant.checkpoints == {10: Path("moved/run/step-10")}
    build_dense(variant, Path("m"))
    assert Path("m/model.safetensors").is_file()


# --- digests ---


def test_digest_covers_content_and_parents(make_trajectory, tmp_path, write_model):
    run = make_trajectory()
    low = low_rank(run, UP, 2, 0)

    def digest(blend: dict, adapter: dict) -> str:
        variant = read_variant(own_variant(run, tmp_path / "v", blend, adapter))
        return variant.digest(KnownDigests([]))

    blend = {UP: {10: 0.5}}
    first = digest(blend, {UP: low})
    assert digest(blend, {UP: low}) == first, "equal content, equal digest"
    different = {
        "adapter": digest(blend, {UP: low.scaled(1.0001)}),
        "no adapter": digest(blend, {}),
        "weight": digest({UP: {10: 0.5001}}, {UP: low}),
        "step": digest({UP: {20: 0.5}}, {UP: low}),
        "no blend": digest({}, {UP: low}),
    }
    assert len({first, *different.values()}) == 1 + len(different)

    changed = {name: t + 1e-3 for name, t in run.weights[20].items()}
    write_model(run.folders[20], changed)
    assert digest(blend, {UP: low}) == first, "a checkpoint that is not used does not count"
    write_model(run.folders[10], changed)
    assert digest(blend, {UP: low}) != first
    assert digest({}, {UP: low}) == different["no blend"]
    write_model(run.base, changed)
    assert digest({}, {UP: low}) != different["no blend"]
