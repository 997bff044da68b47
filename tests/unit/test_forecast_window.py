"""A fit sees nothing later than its window, wherever the window's numbers come from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from alpharl.forecasting.registry import METHODS
from alpharl.spectra.lowrank import Factors, LowRank
from safetensors.torch import load_file
from tests.unit.forecasts import (
    SEEN,
    SUITELESS,
    THROUGH,
    WEIGHTS,
    applied,
    dense_window,
    forecast_args,
    options,
)


@pytest.mark.parametrize("method", METHODS)
def test_method_reads_only_the_window(trajectory, method):
    """The stores hold the whole run; what is later, and the target's score, are made NaN."""
    alone = options(method).forecast(dense_window(trajectory))
    whole = dense_window(trajectory, known=trajectory.steps)
    later = [t for t, step in enumerate(trajectory.steps) if step > THROUGH]
    for g in whole.gram.tensors.values():
        g[later, :] = g[:, later] = np.nan
    nothing = {
        name: Factors(
            LowRank(f.low.u * np.nan, f.low.s * np.nan, f.low.v * np.nan), np.nan, f.residual
        )
        for name, f in whole.factors[THROUGH].items()
    }
    factors = {s: f if s <= THROUGH else nothing for s, f in whole.factors.items()}
    accuracy = {s: a if s <= THROUGH else float("nan") for s, a in whole.accuracy.items()}
    seen = options(method).forecast(replace(whole, factors=factors, accuracy=accuracy))
    assert alone.logits == seen.logits
    one, other = applied(alone, trajectory), applied(seen, trajectory)
    for name in trajectory.names:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("method", SUITELESS)
def test_verb_reads_only_the_window(make_trajectory, tmp_path, cli, method):
    """Later checkpoints and scores change, then vanish: the same variant, byte for byte."""
    run = make_trajectory()
    outs = [tmp_path / str(i) for i in range(3)]
    assert cli(*forecast_args(run, method, outs[0])).status == 0
    for step in (60, 90):
        file = run.folders[step] / "model.safetensors"
        file.write_bytes((run.folders[10] / "model.safetensors").read_bytes())
    lines = [f"{s},{a if s <= THROUGH else 0.01}" for s, a in run.accuracy.items()]
    run.scores.write_text("\n".join(["step,accuracy", *lines]) + "\n")
    assert cli(*forecast_args(run, method, outs[1])).status == 0
    for step in (60, 90):
        shutil.rmtree(run.folders[step])
    run.scores.write_text("\n".join(["step,accuracy", *lines[:5]]) + "\n")
    assert cli(*forecast_args(run, method, outs[2])).status == 0
    files = ["blend.json", "adapter/adapter_model.safetensors"]
    first = {f: (outs[0] / f).read_bytes() for f in files if (outs[0] / f).is_file()}
    assert first or method not in WEIGHTS
    for out in outs[1:]:
        assert {f: (out / f).read_bytes() for f in files if (out / f).is_file()} == first
        meta, same = (json.loads((o / "variant.json").read_text()) for o in (out, outs[0]))
        assert meta["fit"] == same["fit"]
        assert meta.get("logits") == same.get("logits")
        assert list(map(int, meta["checkpoints"])) == SEEN


@pytest.mark.parametrize("method", ["relex", "alpharl-paper", "alpharl-repo"])
def test_stored_factors_and_gram_of_the_whole_run_give_the_same(trajectory, tmp_path, cli, method):
    factors, gram = tmp_path / "F-{step}-{shard}.safetensors", tmp_path / "G-{shard}.safetensors"
    for shard in range(2):
        part = ["--shard", shard, "--shards", 2, "--out"]
        for step, folder in trajectory.folders.items():
            out = str(factors).replace("{step}", str(step)).replace("{shard}", str(shard))
            cli(
                "factors",
                "--base",
                trajectory.base,
                "--checkpoint",
                folder,
                "--rank",
                3,
                *part,
                out,
            )
        cli("gram", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
            *part, str(gram).replace("{shard}", str(shard)))  # fmt: skip
    stores = ["--factors", factors, "--gram", gram, "--shards", 2]
    assert cli(*forecast_args(trajectory, method, tmp_path / "a", "--dense")).status == 0
    assert cli(*forecast_args(trajectory, method, tmp_path / "b", "--dense", *stores)).status == 0
    one, other = (load_file(tmp_path / x / "model.safetensors") for x in "ab")
    for name, weights in one.items():
        torch.testing.assert_close(other[name], weights, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["relex", "alpharl-paper"])
def test_base_among_the_checkpoints_is_not_an_observation(make_trajectory, tmp_path, cli, method):
    """Many trainers save the start as step 0; the pattern then finds it too."""
    run = make_trajectory()
    shutil.copytree(run.base, run.pattern.replace("{step}", "0"))
    steps = ["--steps", *run.steps]
    assert cli(*forecast_args(run, method, tmp_path / "a", "--dense", *steps)).status == 0
    assert cli(*forecast_args(run, method, tmp_path / "b", "--dense")).status == 0
    one, other = (load_file(tmp_path / x / "model.safetensors") for x in "ab")
    for name, weights in one.items():
        torch.testing.assert_close(other[name], weights, rtol=0, atol=1e-6)
