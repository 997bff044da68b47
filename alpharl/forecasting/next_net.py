"""The predictor of `next`: a small network from two vectors to one of the same length.

NExt (arXiv 2604.11446, released code `train.py`). Torch is imported where it is used, so that the
other methods start fast. On the CPU: over a thousand steps of an L1 loss, a GPU's other rounding
grows into another forecast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

BOTTLENECK = 256
LEARNING_RATE, FLOOR = 2e-5, 0.1
"""Of AdamW; the cosine schedule ends at this share of it."""


def build(length: int) -> nn.ModuleDict:
    """The untrained network of one vector length d.

    A branch for each of the two inputs, d to d, and one for their outputs side by side, 2d to d.
    Each has one ReLU in its middle, and a linear bottleneck before and after it.
    """
    from torch import nn

    def branch(given: int, out: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(given, BOTTLENECK),
            nn.Linear(BOTTLENECK, given),
            nn.ReLU(),
            nn.Linear(given, BOTTLENECK),
            nn.Linear(BOTTLENECK, out),
        )

    sizes = {"total": (length, length), "recent": (length, length), "join": (2 * length, length)}
    return nn.ModuleDict({name: branch(*size) for name, size in sizes.items()})


def predict_ahead(
    known_p2d: np.ndarray, ahead_pd: np.ndarray, latest_q2d: np.ndarray, epochs: int, seed: int
) -> tuple[np.ndarray, list[float]]:
    """Train on known pairs, all of them in every step, and predict from the latest inputs.

    Args:
        known_p2d: inputs: the vectors of the change since the base, and since the last checkpoint.
        ahead_pd: what they should give.
        latest_q2d: inputs of the forecast.
        epochs: training steps.
        seed: of the initial weights.

    Returns:
        (q, d) predictions, and the first and last training loss: L1 per vector.
    """
    import torch

    known, ahead, latest = (
        torch.from_numpy(x.astype(np.float32)) for x in (known_p2d, ahead_pd, latest_q2d)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build(ahead.shape[1])
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, T_max=epochs, eta_min=FLOOR * LEARNING_RATE
    )
    losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = (_forward(net, known) - ahead).abs().sum(-1).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    with torch.no_grad():
        predicted: np.ndarray = _forward(net, latest).double().numpy()
    return predicted, [losses[0], losses[-1]]


def _forward(net: nn.ModuleDict, given_p2d: Tensor) -> Tensor:
    import torch

    sides = [net["total"](given_p2d[:, 0]), net["recent"](given_p2d[:, 1])]
    joined: Tensor = net["join"](torch.cat(sides, dim=-1))
    return joined
