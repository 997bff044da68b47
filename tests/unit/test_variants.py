"""Rank-k models, controls and the builder against dense reconstruction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.checkpoints.manifest import KnownDigests
from alpharl.errors import CheckpointError
from alpharl.spectra.factors import Settings, factor_checkpoint, factor_update
from alpharl.spectra.lowrank import Factors, LowRank
from alpharl.study.depth import Depth
from alpharl.study.recipes import Recipe
from alpharl.variants.build import build_dense
from alpharl.variants.ranks import random_like, rank_parts
from alpharl.variants.store import read_adapter, read_variant, write_variant
from safetensors import safe_open
from safetensors.torch import load_file

UP = "model.layers.0.mlp.up_proj.weight"
EPS = float(np.finfo(np.float32).eps)


def triplets(run, step: int, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dense SVD of an update, float64."""
    return np.linalg.svd(run.update(step, name), full_matrices=False)


def reference(run, step: int, kind: str, k: int) -> dict[str, np.ndarray]:
    """AlphaRL eqs 1-3 in float64: only the matrices of the paper's scope have an update."""
    found = {name: 0 * run.update(step, name) for name in run.names}
    for name in run.matrices():
        u, s, vt = triplets(run, step, name)
        delta, top = run.update(step, name), (u[:, :k] * s[:k]) @ vt[:k]
        full = np.linalg.norm(delta)
        if kind == "without":
            rest = delta - top
            found[name] = rest * full / np.linalg.norm(rest) if k < len(s) else 0 * rest
        elif kind == "full-update":
            found[name] = delta
        else:
            found[name] = top * full / np.linalg.norm(top) if kind == "rank" else top
    return found


def built_update(run, folder: Path) -> dict[str, np.ndarray]:
    """(model - base) per tensor of a built float32 model, float64."""
    model = load_file(folder / "model.safetensors")
    assert list(model) == sorted(run.names)
    return {n: (model[n].double() - run.weights[0][n].double()).numpy() for n in run.names}


def assert_updates(run, found: dict, expected: dict, relative: float = 5e-5) -> None:
    """Relative Frobenius distance per tensor, besides the one rounding of the sum."""
    for name in run.names:
        rounding = EPS * np.linalg.norm(run.weights[0][name].double().numpy())
        limit = relative * np.linalg.norm(expected[name]) + rounding
        assert np.linalg.norm(found[name] - expected[name]) <= limit, name


# --- rank-k models and their controls ---


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


# --- the builder ---


def own_variant(run, out: Path, blend: dict, adapter: dict) -> Path:
    """A variant of a trajectory."""
    write_variant(out, run.base, run.folders, {"kind": "test"}, blend, adapter)
    return out


def low_rank(run, name: str, k: int, seed: int) -> LowRank:
    """A random low-rank update of a tensor, one singular value negative."""
    rng, (m, n) = np.random.default_rng(seed), run.weights[0][name].shape
    s = 0.01 * np.arange(k, 0, -1) * np.where(np.arange(k) == 1, -1, 1)
    return LowRank(rng.standard_normal((m, k)), s, rng.standard_normal((n, k)))


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
    found = read_adapter(variant.adapter)
    assert set(found) == set(adapter)
    for name, (b, a) in found.items():
        assert b.dtype == a.dtype == np.float32
        assert b.shape[1] == a.shape[0] == 3, "one rank for all, padded with zeros"
        np.testing.assert_allclose(b.astype(float) @ a, adapter[name].dense(), atol=1e-8)
    config = json.loads((variant.adapter / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 3, "scaling 1"
    assert config["target_modules"] == ["q_proj", "up_proj"]
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


@pytest.mark.parametrize("where", ["blend", "adapter"])
def test_unknown_tensor_is_refused_and_leaves_nothing(trajectory, tmp_path, cli, where):
    name = "model.layers.9.mlp.up_proj.weight"
    low = LowRank(np.ones((3, 1)), np.ones(1), np.ones((2, 1)))
    parts = ({name: {10: 1.0}}, {}) if where == "blend" else ({}, {name: low})
    variant = own_variant(trajectory, tmp_path / "v", *parts)
    result = cli("export", variant, "--out", tmp_path / "m")
    assert f"{trajectory.base}: has no tensor {name} that the variant changes" in result.error
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


@pytest.mark.parametrize("missing", ["folder", "variant.json"])
def test_export_of_what_is_no_variant_is_one_line(tmp_path, cli, missing):
    if missing == "variant.json":
        (tmp_path / "v").mkdir()
    result = cli("export", tmp_path / "v", "--out", tmp_path / "m")
    assert "found no variant.json, expected an adapter or a blend" in result.error


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


# --- adapters as PEFT reads them ---


@pytest.fixture(scope="module")
def tiny_qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen2 of hidden size 32, and a checkpoint `step-5` beside it."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("qwen")
    config = Qwen2Config(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(folder / "base")
    with torch.no_grad():
        for weights in model.parameters():
            weights += 0.02 * torch.randn_like(weights)
    model.save_pretrained(folder / "step-5")
    return folder


def logits(model) -> torch.Tensor:
    """Logits of three fixed prompts, in float32."""
    tokens = torch.randint(0, 40, (3, 9), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found: torch.Tensor = model.eval()(tokens).logits
    return found


@pytest.mark.parametrize("partial", [False, True], ids=["all matrices", "some matrices"])
@pytest.mark.parametrize(("kind", "k"), [("rank", 1), ("unscaled", 4), ("random", 2)])
def test_peft_loads_the_adapter_and_it_equals_the_dense_model(
    tiny_qwen, tmp_path, kind, k, partial
):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = tiny_qwen / "base"
    factors = factor_checkpoint(base, tiny_qwen / "step-5", Settings(Depth(k)))
    if partial:
        factors = {
            n: f for n, f in factors.items() if "layers.1.mlp.u" in n or "0.self_attn.k" in n
        }
    blend, adapter = rank_parts(Recipe(kind, Depth(k)), 5, factors)
    write_variant(tmp_path / "v", base, {5: tiny_qwen / "step-5"}, {}, blend, adapter)
    build_dense(read_variant(tmp_path / "v"), tmp_path / "m")
    dense = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype=torch.float32))
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = logits(plain)
    adapted = PeftModel.from_pretrained(plain, tmp_path / "v" / "adapter")
    found = logits(adapted)
    assert (dense - before).abs().max() > 1e-3, "the adapter does something"
    torch.testing.assert_close(found, dense, rtol=0, atol=1e-5)
    torch.testing.assert_close(logits(adapted.unload()), before, rtol=0, atol=0)


def test_dense_model_loads_with_transformers_in_the_dtype_of_the_base(tiny_qwen, tmp_path, cli):
    from transformers import AutoModelForCausalLM

    assert cli("rank", "--base", tiny_qwen / "base", "--checkpoint", tiny_qwen / "step-5",
               "--kind", "full-update", "--dense", "--out", tmp_path / "m").status == 0  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert model.dtype == torch.float32
    with safe_open(tiny_qwen / "step-5" / "model.safetensors", framework="pt") as file:
        for name, weights in model.state_dict().items():
            if name.endswith("_proj.weight"):
                torch.testing.assert_close(weights, file.get_tensor(name), rtol=0, atol=1e-7)


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
