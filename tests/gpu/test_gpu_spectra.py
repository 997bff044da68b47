"""Factors and grams on a GPU: the numbers of the CPU, about as fast as the weights get there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.checkpoints import reader
from alpharl.spectra import factors as factors_module
from alpharl.spectra.depth import Depth
from alpharl.spectra.factors import Settings, factor_checkpoint
from alpharl.spectra.gram import gram_run

from tests.benchmarks.models import qwen_7b, update
from tests.unit.matrices import planted

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="found no GPU: nothing compared or timed"
)
LAYER = "model.layers.0."
SHAPES = {
    f"{LAYER}mlp.up_proj.weight": (700, 900),
    f"{LAYER}mlp.down_proj.weight": (900, 300),
    f"{LAYER}self_attn.q_proj.weight": (60, 40),
    f"{LAYER}input_layernorm.weight": (60,),
}
"""Above the limit of the Gram path and below, wide and tall, and a vector."""


@pytest.fixture
def on(monkeypatch) -> Callable[[str], None]:
    """`on(device)` lets factors and grams run there."""

    def use(device: str) -> None:
        monkeypatch.setattr(factors_module, "best_device", lambda: device)
        monkeypatch.setattr(reader, "best_device", lambda: device)

    return use


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=str)
def folders(request, tmp_path, write_model) -> dict[int, Path]:
    """A base and two checkpoints whose updates' singular values decay by 0.6 each."""
    rng = torch.Generator().manual_seed(0)
    base = {n: (0.1 * torch.randn(s, generator=rng)).to(request.param) for n, s in SHAPES.items()}
    weights = {0: base}
    for step in (1, 2):
        deltas = {n: decaying(shape, step) for n, shape in SHAPES.items()}
        weights[step] = {n: (w.float() + deltas[n]).to(request.param) for n, w in base.items()}
    return {s: write_model(tmp_path / f"step-{s}", row) for s, row in weights.items()}


def decaying(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    m, n = (*shape, 1)[:2]
    return planted((m, n), 4 * 0.6 ** np.arange(min(m, n)), seed).view(shape)


def test_factors_equal_those_of_the_cpu(folders, on):
    found = {}
    for device in ("cpu", "cuda"):
        on(device)
        found[device] = factor_checkpoint(folders[0], folders[1], Settings(Depth(4)))
    assert len(found["cuda"]) == 3
    for name, cpu in found["cpu"].items():
        gpu = found["cuda"][name]
        assert gpu.method == cpu.method
        assert gpu.norm == pytest.approx(cpu.norm, rel=1e-6)
        np.testing.assert_allclose(gpu.low.s, cpu.low.s, rtol=0, atol=1e-5 * cpu.low.s[0])
        for own, other in ((gpu.low.u, cpu.low.u), (gpu.low.v, cpu.low.v)):
            # Each singular value is 0.6 of the one before: wide gaps.
            sign = np.sign((own * other).sum(axis=0))
            assert np.linalg.norm(own.astype(np.float64) * sign - other, axis=0).max() <= 1e-4


def test_grams_equal_those_of_the_cpu(folders, on):
    found = {}
    for device in ("cpu", "cuda"):
        on(device)
        found[device] = gram_run(folders[0], {s: folders[s] for s in (1, 2)}).tensors
    assert set(found["cuda"]) == set(SHAPES)
    for name, cpu in found["cpu"].items():
        # Inner products of two updates may cancel; their norms do not.
        scale = np.sqrt(np.outer(cpu.diagonal(), cpu.diagonal()))
        assert (np.abs(found["cuda"][name] - cpu) <= 1e-6 * scale).all(), name


def best_of(count: int, call: Callable[[], object]) -> float:
    """Seconds of the fastest of some calls, after one that warms up."""
    taken = []
    for _ in range(count + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def test_a_layer_of_7b_takes_at_most_twice_its_copy_to_the_gpu(tmp_path, write_model):
    rng, models = torch.Generator().manual_seed(0), [{}, {}]
    for name, (m, n) in qwen_7b(1).items():
        base = (0.02 * torch.randn(m, n, generator=rng)).bfloat16()
        # An entry moves by a few bfloat16 gaps.
        delta = update(m, n, [0.6**i for i in range(16)], 0.1, 1e-4 * (m * n) ** 0.5, rng)
        models[0][name], models[1][name] = base, (base.float() + delta).bfloat16()
    folders = [write_model(tmp_path / str(i), model) for i, model in enumerate(models)]
    size = sum(w.nbytes for model in models for w in model.values())

    pinned = torch.empty(size, dtype=torch.uint8, pin_memory=True).fill_(1)
    target = torch.empty(size, dtype=torch.uint8, device="cuda")
    copy = best_of(5, lambda: target.copy_(pinned, non_blocking=True))
    factor = best_of(3, lambda: factor_checkpoint(*folders, Settings(Depth(8))))
    assert factor <= 2 * copy, f"factors {factor:.3f} s, copy of {size >> 20} MiB {copy:.3f} s"
