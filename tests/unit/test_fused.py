"""Factors, grams and built models of fused and stacked tensors, against dense slices."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.spectra.depth import Depth
from alpharl.spectra.factors import Settings, factor_checkpoint
from alpharl.spectra.gram import gram_run
from alpharl.variants.build import build_dense
from alpharl.variants.ranks import rank_parts
from alpharl.variants.recipes import Recipe
from alpharl.variants.store import Variant, read_adapter, read_variant, write_variant
from safetensors.torch import load_file

CONFIG = {
    "hidden_size": 8, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 3,
}  # fmt: skip
LAYER = "model.layers.0."
QKV, GATE_UP = f"{LAYER}self_attn.qkv_proj.weight", f"{LAYER}mlp.gate_up_proj.weight"
EXPERTS = f"{LAYER}mlp.experts."
FUSED = {QKV: (24, 8), f"{LAYER}self_attn.o_proj.weight": (8, 12), GATE_UP: (10, 8),
         f"{LAYER}mlp.down_proj.weight": (8, 5), "model.norm.weight": (8,)}  # fmt: skip
STACKED = {QKV: (24, 8), f"{EXPERTS}gate_up_proj": (3, 10, 8), f"{EXPERTS}down_proj": (3, 8, 5),
           f"{LAYER}mlp.gate.weight": (3, 8)}  # fmt: skip
EPS = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Run:
    """A base and two checkpoints, and what they hold."""

    weights: dict[int, dict[str, torch.Tensor]]
    folders: dict[int, Path]

    def update(self, step: int, name: str) -> np.ndarray:
        delta = self.weights[step][name].float() - self.weights[0][name].float()
        return delta.double().numpy()

    def slices(self, step: int) -> dict[str, tuple[str, np.ndarray]]:
        """Per matrix in scope: the tensor that holds it, and its update."""
        found = {}
        for name in self.weights[0]:
            delta = self.update(step, name)
            if name == QKV:
                rows = dict(q=delta[:12], k=delta[12:18], v=delta[18:])
                found |= {f"{LAYER}self_attn.{p}_proj.weight": (name, d) for p, d in rows.items()}
            elif name == GATE_UP:
                halves = dict(gate=delta[:5], up=delta[5:])
                found |= {f"{LAYER}mlp.{p}_proj.weight": (name, d) for p, d in halves.items()}
            elif name == f"{EXPERTS}gate_up_proj":
                for e, one in enumerate(delta):
                    found[f"{EXPERTS}{e}.gate_proj.weight"] = (name, one[:5])
                    found[f"{EXPERTS}{e}.up_proj.weight"] = (name, one[5:])
            elif name == f"{EXPERTS}down_proj":
                found |= {f"{EXPERTS}{e}.down_proj.weight": (name, d) for e, d in enumerate(delta)}
            elif delta.ndim == 2 and not name.endswith("mlp.gate.weight"):
                found[name] = (name, delta)
        return found


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def make_run(tmp_path, write_model, request):
    """`make_run(shapes)` writes a base and two checkpoints with a config."""

    def make(shapes: dict[str, tuple[int, ...]]) -> Run:
        rng = torch.Generator().manual_seed(0)
        base = {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}
        weights = {0: base}
        for step in (1, 2):
            noise = {n: 0.1 * torch.randn(w.shape, generator=rng) for n, w in base.items()}
            weights[step] = {n: w + noise[n] for n, w in base.items()}
        weights = {
            s: {n: w.to(request.param) for n, w in row.items()} for s, row in weights.items()
        }
        folders = {s: write_model(tmp_path / f"step-{s}", row) for s, row in weights.items()}
        for folder in folders.values():
            (folder / "config.json").write_text(json.dumps(CONFIG))
        return Run(weights, folders)

    return make


@pytest.fixture(params=[FUSED, STACKED], ids=["fused", "stacked"])
def run(make_run, request) -> Run:
    return make_run(request.param)


def test_factors_of_each_part(run):
    found = factor_checkpoint(run.folders[0], run.folders[1], Settings(Depth(3)))
    expected = run.slices(1)
    assert set(found) == set(expected)
    for name, (_, delta) in expected.items():
        u, s, vt = np.linalg.svd(delta, full_matrices=False)
        low = found[name].low
        assert low.u.shape == (len(delta), 3)
        np.testing.assert_allclose(low.s, s[:3], atol=1e-5 * s[0])
        assert found[name].norm == pytest.approx(np.linalg.norm(delta), rel=1e-6)
        top, gap = (u[:, :3] * s[:3]) @ vt[:3], s[2] - s[3]
        assert np.linalg.norm(low.dense() - top) <= 1e-5 * s[0] ** 2 / gap, name


def test_gram_of_a_tensor_is_the_sum_of_its_parts(run):
    grams = gram_run(run.folders[0], {s: run.folders[s] for s in (1, 2)}).tensors
    one, two = run.slices(1), run.slices(2)
    assert set(grams) == {*run.weights[0], *one}
    for name in grams:
        deltas = [s[name][1] for s in (one, two)] if name in one else [
            run.update(step, name) for step in (1, 2)
        ]  # fmt: skip
        rows = np.stack([delta.ravel() for delta in deltas])
        expected = rows @ rows.T
        np.testing.assert_allclose(grams[name], expected, rtol=1e-6, atol=1e-6 * expected.max())
    for tensor in {held for held, _ in one.values()}:
        inside = [grams[name] for name, (held, _) in one.items() if held == tensor]
        np.testing.assert_allclose(np.sum(inside, axis=0), grams[tensor], rtol=1e-12)


def rank_variant(run: Run, out: Path, k: int = 2) -> Variant:
    factors = factor_checkpoint(run.folders[0], run.folders[1], Settings(Depth(k)))
    blend, adapter = rank_parts(Recipe("rank", Depth(k)), 1, factors)
    write_variant(out, run.folders[0], {1: run.folders[1]}, {}, blend, adapter)
    return read_variant(out)


def rescaled_top(delta: np.ndarray, k: int = 2) -> np.ndarray:
    u, s, vt = np.linalg.svd(delta, full_matrices=False)
    top = (u[:, :k] * s[:k]) @ vt[:k]
    return top * np.linalg.norm(delta) / np.linalg.norm(top)


def expected_update(run: Run) -> dict[str, np.ndarray]:
    """Per stored tensor, the rank-2 parts one after another; zero out of scope."""
    found = {name: np.zeros(tuple(w.shape)) for name, w in run.weights[0].items()}
    for tensor in found:
        parts = [rescaled_top(d) for held, d in run.slices(1).values() if held == tensor]
        if parts:
            found[tensor] = np.concatenate([p.ravel() for p in parts]).reshape(found[tensor].shape)
    return found


def test_built_model_is_the_base_and_the_parts_of_rank_k(run, tmp_path):
    build_dense(rank_variant(run, tmp_path / "variant"), tmp_path / "model")
    model = load_file(tmp_path / "model" / "model.safetensors")
    assert set(model) == set(run.weights[0])
    for name, update in expected_update(run).items():
        base = run.weights[0][name]
        assert model[name].dtype == base.dtype
        if not update.any():
            assert torch.equal(model[name], base), name
            continue
        error = np.abs(model[name].double().numpy() - (base.double().numpy() + update))
        half = torch.finfo(base.dtype).eps / 2
        limit = half * np.abs(base.double().numpy() + update)
        assert (error <= limit + 2 * EPS + 5e-5 * np.linalg.norm(update)).all(), name


def test_adapter_of_a_fused_projection_stacks_its_parts(make_run, tmp_path):
    run = make_run(FUSED)
    variant = rank_variant(run, tmp_path / "variant")
    assert variant.pure_adapter
    adapter, expected = read_adapter(variant), expected_update(run)
    assert set(adapter) == {name for name, w in run.weights[0].items() if w.ndim == 2}
    for name, (b_mr, a_rn) in adapter.items():
        assert b_mr.shape[1] == a_rn.shape[0] == 6, "q, k and v of rank 2 each, all padded to it"
        error = np.linalg.norm(b_mr.astype(np.float64) @ a_rn - expected[name])
        assert error <= 5e-5 * np.linalg.norm(expected[name])


def test_stacked_experts_are_no_pure_adapter(make_run, tmp_path):
    assert not rank_variant(make_run(STACKED), tmp_path / "variant").pure_adapter
