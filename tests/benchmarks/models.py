"""Synthetic runs of real shapes: bfloat16, sharded, with updates like those of RL."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from alpharl.checkpoints.index import INDEX
from safetensors.torch import save_file

Shapes = dict[str, tuple[int, ...]]
REAL = (
    [
        1.0,
        0.5584,
        0.3394,
        0.3051,
        0.2774,
        0.228,
        0.1839,
        0.1665,
        0.1539,
        0.1407,
        0.1261,
        0.1145,
        0.0999,
        0.0957,
        0.0897,
        0.082,
    ],
    0.0973,
)
"""Top-16 singular values of a GRPO update of an `up_proj`, and the energy beside them, in units of
the first."""


def layers(count: int, hidden: int, mlp: int, heads: int, keys: int) -> Shapes:
    """Shapes of decoder layers; `heads` and `keys` are widths, not numbers, of the projections."""
    block = {
        "self_attn.q_proj": (heads, hidden), "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden), "self_attn.o_proj": (hidden, heads),
        "mlp.gate_proj": (mlp, hidden), "mlp.up_proj": (mlp, hidden),
        "mlp.down_proj": (hidden, mlp),
    }  # fmt: skip
    return {f"model.layers.{i}.{n}.weight": s for i in range(count) for n, s in block.items()}


def qwen_half_billion(layer_count: int = 48) -> Shapes:
    """Qwen2.5-0.5B, twice as deep unless said otherwise, with its embedding and a head."""
    ends = {name: (151936, 896) for name in ("model.embed_tokens.weight", "lm_head.weight")}
    return ends | layers(layer_count, 896, 4864, 896, 128)


def qwen_7b(layer_count: int) -> Shapes:
    """Layers of Qwen2.5-7B."""
    return layers(layer_count, 3584, 18944, 3584, 512)


def update(
    m: int, n: int, head: list[float], left: float, scale: float, rng: torch.Generator
) -> torch.Tensor:
    """A float32 matrix with given leading singular values over a flat tail of given energy."""
    u, v = (torch.linalg.qr(torch.randn(d, len(head), generator=rng))[0] for d in (m, n))
    noise = torch.randn(m, n, generator=rng) * (left / (m * n)) ** 0.5
    return noise.addmm_(u * torch.tensor(head), v.T).mul_(scale)


def write_run(folder: Path, shapes: Shapes, steps: int, shard_bytes: int = 500 << 20) -> None:
    """A base and checkpoints `step-1`...: one tensor at a time, so that it fits any memory.

    The update has the spectrum of a real one, and an entry's size is a few bfloat16 gaps.
    """
    head, left = REAL
    names = ["base", *(f"step-{i}" for i in range(1, steps + 1))]
    files: dict[str, int] = {}
    held: dict[str, dict[str, torch.Tensor]] = {name: {} for name in names}
    size = part = 0
    for i, (tensor, shape) in enumerate(shapes.items()):
        rng = torch.Generator().manual_seed(i)
        before = torch.randn(shape, generator=rng) * 0.02
        drift = update(*shape, head, left, 4e-4 * (shape[0] * shape[1]) ** 0.5, rng)
        for step, name in enumerate(names):
            held[name][tensor] = (before + drift * (step / steps)).bfloat16()
        files[tensor], size = part, size + 2 * before.numel()
        if size > shard_bytes or i == len(shapes) - 1:
            for name in names:
                (folder / name).mkdir(parents=True, exist_ok=True)
                save_file(held[name], folder / name / f"model-{part:05d}.safetensors")
                held[name] = {}
            size, part = 0, part + 1
    index = {"weight_map": {t: f"model-{p:05d}.safetensors" for t, p in files.items()}}
    for name in names:
        (folder / name / INDEX).write_text(json.dumps(index))
