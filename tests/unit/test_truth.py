"""Forecast weights against trained ones: the gram's way against dense float64."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from alpharl.checkpoints.files import write_record
from alpharl.variants.truth import NUMBERS, truth_table
from safetensors.numpy import load_file

SEEN, THROUGH, TARGET = [10, 20, 35, 50], 50, 90
UP = "model.layers.0.mlp.up_proj.weight"
METHODS = ["last", "expo", "momentum", "relex", "recent", "alpharl-paper", "alpharl-step",
           "alpharl-repo"]  # fmt: skip
"""Blends, adapters, and one that is both."""
PREFIX = "base_model.model."


# --- a reference that knows the files, but none of our code ---


def dense(variant: Path, updates: dict[int, np.ndarray], name: str, tensor: str) -> np.ndarray:
    """The forecast update of a whole stored tensor, or of an expert in it, in float64."""
    total = np.zeros_like(updates[THROUGH])
    if (variant / "blend.json").is_file():
        row = json.loads((variant / "blend.json").read_text()).get(tensor, {})
        total += sum(weight * updates[int(step)] for step, weight in row.items())
    if (variant / "adapter").is_dir():
        arrays = load_file(variant / "adapter" / "adapter_model.safetensors")
        module = PREFIX + name.removesuffix(".weight")
        if f"{module}.lora_B.weight" in arrays:
            b, a = (arrays[f"{module}.lora_{x}.weight"].astype(float) for x in "BA")
            total += b @ a
    return total


def numbers(predicted: np.ndarray, last: np.ndarray, true: np.ndarray) -> dict[str, float]:
    p, d = np.linalg.norm(predicted), np.linalg.norm(true)
    return {
        "cosine": float(np.sum(predicted * true) / (p * d)) if p * d else float("nan"),
        "norm_ratio": float(p / d),
        "relative_error": float(np.linalg.norm(predicted - true) / np.linalg.norm(last - true)),
    }


def check_rows(table: pd.DataFrame, parts: dict[str, tuple[np.ndarray, ...]]) -> None:
    """The rows of one forecast; parts: (predicted, last, true) per matrix, in any order."""
    joined = tuple(np.concatenate([part[i].ravel() for part in parts.values()]) for i in range(3))
    assert sorted(table["tensor"]) == sorted([*parts, "overall"])
    for row in table.to_dict("records"):
        part = parts.get(row["tensor"], joined)
        found = [row[name] for name in NUMBERS]
        np.testing.assert_allclose(found, list(numbers(*part).values()), rtol=2e-5)


def make_forecast(cli, run, method: str, out: Path, target: int = TARGET) -> Path:
    result = cli("forecast", "--base", run.base, "--checkpoints", run.pattern, "--through", THROUGH,
                 "--method", method, "--target-step", target, "--scores", run.scores,
                 "--out", out)  # fmt: skip
    assert result.status == 0, result.err
    return out


def make_gram(cli, run, out: Path) -> Path:
    cli("gram", "--base", run.base, "--checkpoints", run.pattern, "--out", out)
    return out


def call(cli, run, gram: Path, out: Path, *variants: object, target: int = TARGET):
    """`alpharl truth` of some variants, and maybe more options."""
    return cli("truth", "--variant", *variants, "--target", run.pattern.replace("{step}", "90"),
               "--step", target, "--gram", gram, "--out", out)  # fmt: skip


# --- against it ---


def test_truth_equals_dense_reference(trajectory, tmp_path, cli):
    variants = [make_forecast(cli, trajectory, method, tmp_path / method) for method in METHODS]
    gram = make_gram(cli, trajectory, tmp_path / "G.safetensors")
    result = call(cli, trajectory, gram, tmp_path / "T.parquet", *variants)
    assert result.status == 0, result.err
    table = pd.read_parquet(tmp_path / "T.parquet")
    assert list(table["forecast"].unique()) == METHODS
    assert set(table["target_step"]) == {TARGET}
    pd.testing.assert_frame_equal(table, pd.read_csv(tmp_path / "T.csv"))
    for method, variant in zip(METHODS, variants, strict=True):
        parts = {}
        for name in trajectory.matrices():
            updates = {step: trajectory.update(step, name) for step in (*SEEN, TARGET)}
            predicted = dense(variant, updates, name, name)
            parts[name] = predicted, updates[THROUGH], updates[TARGET]
        check_rows(table[table["forecast"] == method], parts)
        assert method in result.out


def test_what_is_said_are_the_rows_over_all_matrices(trajectory, tmp_path, cli):
    variants = [make_forecast(cli, trajectory, name, tmp_path / name) for name in ("expo", "relex")]
    gram, out = make_gram(cli, trajectory, tmp_path / "G.safetensors"), tmp_path / "T.parquet"
    shown = json.loads(call(cli, trajectory, gram, out, *variants, "--json").out)
    table = pd.read_parquet(out)
    rows = table[table["tensor"] == "overall"].drop(columns=["tensor", "layer", "module"])
    assert shown["comparisons"] == rows.to_dict("records")
    assert shown["written"] == [str(out), str(out.with_suffix(".csv"))]


def test_last_has_an_error_of_exactly_one(trajectory, tmp_path, cli):
    variant = make_forecast(cli, trajectory, "last", tmp_path / "last")
    gram = make_gram(cli, trajectory, tmp_path / "G.safetensors")
    call(cli, trajectory, gram, tmp_path / "T.parquet", variant)
    assert (pd.read_parquet(tmp_path / "T.parquet")["relative_error"] == 1).all()


@pytest.fixture
def fused(tmp_path, write_model):
    """A run with a fused projection of grouped queries, and with stacked experts."""
    shapes = {
        "model.layers.0.self_attn.qkv_proj.weight": (16, 8),
        "model.layers.0.self_attn.o_proj.weight": (8, 8),
        "model.layers.0.mlp.experts.down_proj": (2, 8, 6),
    }
    rng = torch.Generator().manual_seed(0)
    weights = {n: torch.randn(s, generator=rng) for n, s in shapes.items()}
    drift = {n: 1e-3 * torch.randn(s, generator=rng) for n, s in shapes.items()}
    found = {0: weights}
    for step in (*SEEN, TARGET):
        found[step] = {
            n: w + step * drift[n] + 0.01 * torch.randn(w.shape, generator=rng)
            for n, w in weights.items()
        }
    config = {"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 8}
    for step, tensors in found.items():
        folder = tmp_path / ("base" if step == 0 else f"run/step-{step}")
        write_model(folder, tensors)
        (folder / "config.json").write_text(json.dumps(config))
    (tmp_path / "S.csv").write_text("step,accuracy\n10,0.4\n20,0.5\n35,0.55\n50,0.7\n")
    return found


class Run:
    def __init__(self, folder: Path) -> None:
        self.base, self.pattern = folder / "base", f"{folder}/run/step-{{step}}"
        self.scores = folder / "S.csv"


@pytest.mark.parametrize("method", ["relex", "alpharl-step", "alpharl-repo"])
def test_parts_of_fused_matrices_and_stacked_experts(fused, tmp_path, cli, method):
    run = Run(tmp_path)
    variant = make_forecast(cli, run, method, tmp_path / method)
    gram = make_gram(cli, run, tmp_path / "G.safetensors")
    assert call(cli, run, gram, tmp_path / "T.parquet", variant).status == 0
    table, parts = pd.read_parquet(tmp_path / "T.parquet"), {}

    def add(name: str, tensor: str, own: str, where: slice | int, rows: slice) -> None:
        """A matrix: `own` is its name in an adapter, `rows` are its rows there."""
        updates = {
            s: (w[tensor][where].double() - fused[0][tensor][where].double()).numpy()
            for s, w in fused.items() if s
        }  # fmt: skip
        predicted = dense(variant, updates, own, tensor)
        parts[name] = tuple(x[rows] for x in (predicted, updates[THROUGH], updates[TARGET]))

    whole, attention = slice(None), "model.layers.0.self_attn."
    qkv = f"{attention}qkv_proj.weight"
    for part, rows in {"q": slice(0, 8), "k": slice(8, 12), "v": slice(12, 16)}.items():
        add(f"{attention}{part}_proj.weight", qkv, qkv, whole, rows)
    output = f"{attention}o_proj.weight"
    add(output, output, output, whole, whole)
    for i in range(2):
        name = f"model.layers.0.mlp.experts.{i}.down_proj.weight"
        add(name, "model.layers.0.mlp.experts.down_proj", name, i, whole)
    check_rows(table, parts)


def test_several_targets_each_have_their_own(trajectory, tmp_path, cli):
    near = make_forecast(cli, trajectory, "momentum", tmp_path / "near", 60)
    far = make_forecast(cli, trajectory, "momentum", tmp_path / "far")
    gram, out = make_gram(cli, trajectory, tmp_path / "G.safetensors"), tmp_path / "T.parquet"
    result = cli("truth", "--variant", near, "--variant", far, "--gram", gram, "--out", out,
                 "--target", trajectory.folders[60], trajectory.folders[90],
                 "--step", 60, 90)  # fmt: skip
    assert result.status == 0, result.err
    table = pd.read_parquet(out)
    assert dict(zip(table["forecast"], table["target_step"], strict=True)) == {
        "near": 60,
        "far": 90,
    }
    pattern = tmp_path / "pattern.parquet"
    for steps in ([], ["--step", 60, 90]):
        result = cli("truth", "--variant", near, far, "--gram", gram, "--out", pattern,
                     "--target", trajectory.pattern, *steps)  # fmt: skip
        assert result.status == 0, result.err
        assert pattern.read_bytes() == out.read_bytes()
    row = table[(table["forecast"] == "near") & (table["tensor"] == UP)].iloc[0]
    at = {step: trajectory.update(step, UP) for step in (35, 50, 60)}
    expected = numbers(at[50] + 10 / 15 * (at[50] - at[35]), at[50], at[60])
    assert row[NUMBERS].tolist() == pytest.approx(list(expected.values()), rel=1e-5)


def test_frozen_matrix_has_no_numbers_and_adds_none(make_trajectory, tmp_path, cli):
    run = make_trajectory(frozen=(UP,))
    variant = make_forecast(cli, run, "alpharl-step", tmp_path / "v")
    gram = make_gram(cli, run, tmp_path / "G.safetensors")
    assert call(cli, run, gram, tmp_path / "T.parquet", variant).status == 0
    table = pd.read_parquet(tmp_path / "T.parquet").set_index("tensor")
    assert table.loc[UP, NUMBERS].isna().all()
    assert table.drop(index=UP)[NUMBERS].notna().all(axis=None)


def test_a_pattern_names_the_forecasts_of_a_run(trajectory, tmp_path, cli):
    for target in (60, 90):
        make_forecast(cli, trajectory, "momentum", tmp_path / f"to-{target}", target)
    gram, out = make_gram(cli, trajectory, tmp_path / "G.safetensors"), tmp_path / "T.parquet"
    result = cli("truth", "--variant", f"{tmp_path}/to-{{step}}", "--gram", gram, "--out", out,
                 "--target", trajectory.pattern)  # fmt: skip
    assert result.status == 0, result.err
    assert list(pd.read_parquet(out)["forecast"].unique()) == ["to-60", "to-90"]


def test_undefined_forecast_has_no_rows(trajectory, tmp_path, cli):
    flat = tmp_path / "S.csv"
    flat.write_text("step,accuracy\n" + "".join(f"{step},0.5\n" for step in SEEN))
    cli("forecast", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
        "--through", THROUGH, "--method", "alpharl-paper", "--target-step", TARGET,
        "--scores", flat, "--record-undefined", "--out", tmp_path / "flat")  # fmt: skip
    last = make_forecast(cli, trajectory, "last", tmp_path / "last")
    gram = make_gram(cli, trajectory, tmp_path / "G.safetensors")
    for variants, expected in (([tmp_path / "flat", last], {"last"}), ([tmp_path / "flat"], set())):
        out = tmp_path / "T.parquet"
        assert call(cli, trajectory, gram, out, *variants).status == 0
        assert set(pd.read_parquet(out)["forecast"]) == expected


def test_blends_are_compared_without_torch_and_without_weights(trajectory, tmp_path, cli):
    variant = make_forecast(cli, trajectory, "momentum", tmp_path / "v")
    gram = make_gram(cli, trajectory, tmp_path / "G.safetensors")
    arguments = ["truth", "--variant", str(variant), "--target", "nowhere", "--step", str(TARGET),
                 "--gram", str(gram), "--out", str(tmp_path / "T.parquet")]  # fmt: skip
    code = f"import sys\nfrom alpharl.cli import main\nassert main({arguments}) == 0\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


# --- refusals ---


def aimed_at(step: int, variant: Path) -> Path:
    """Give a forecast another target, maybe one that the verb refuses by now."""
    file = variant / "variant.json"
    write_record(file, json.loads(file.read_text()) | {"target_step": step})
    return variant


def test_bad_input_is_one_line(trajectory, tmp_path, cli):
    gram, out = make_gram(cli, trajectory, tmp_path / "G.safetensors"), tmp_path / "T.parquet"
    variant = make_forecast(cli, trajectory, "last", tmp_path / "v")
    adapter = make_forecast(cli, trajectory, "alpharl-step", tmp_path / "a")
    seen = aimed_at(THROUGH, shutil.copytree(variant, tmp_path / "seen"))
    cli("rank", "--base", trajectory.base, "--checkpoint", trajectory.folders[90],
        "--out", tmp_path / "rank")  # fmt: skip
    assert "forecasts step 90, expected one of [60]" in call(
        cli, trajectory, gram, out, variant, target=60).error  # fmt: skip
    assert "found target step 50 in a window that ends at step 50" in call(
        cli, trajectory, gram, out, seen, target=THROUGH).error  # fmt: skip
    assert "found kind 'rank', expected a forecast" in call(
        cli, trajectory, gram, out, tmp_path / "rank").error  # fmt: skip
    assert "found forecasts ['v', 'v']" in call(cli, trajectory, gram, out, variant, variant).error
    short = tmp_path / "short.safetensors"
    cli("gram", "--base", trajectory.base, "--checkpoints", trajectory.pattern, "--steps", *SEEN,
        "--out", short)  # fmt: skip
    assert "expected [90] among them" in call(cli, trajectory, short, out, variant).error
    half = tmp_path / "half.safetensors"
    cli("gram", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
        "--shard", 0, "--shards", 2, "--out", half)  # fmt: skip
    assert "give all of the run's gram files" in call(cli, trajectory, half, out, variant).error
    missing = cli("truth", "--variant", adapter, "--target", "nowhere", "--step", TARGET,
                  "--gram", gram, "--out", out)  # fmt: skip
    assert "nowhere: no such checkpoint folder" in missing.error
    for targets in (["x", "y", "--step", 90], ["x"]):
        assert "expected one step each" in cli(
            "truth", "--variant", variant, "--gram", gram, "--out", out, "--target", *targets
        ).error  # fmt: skip
    assert "forecasts step 90, expected one of [60]" in cli(
        "truth", "--variant", variant, "--gram", gram, "--out", out,
        "--target", trajectory.pattern, "--step", 60).error  # fmt: skip
    assert not out.exists()


def test_no_forecasts_make_an_empty_table(trajectory):
    from alpharl.spectra.gram import Gram

    assert truth_table([], {}, Gram([], {})).empty
