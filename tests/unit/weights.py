"""Small tensors of every kind, and the files that hold them."""

from __future__ import annotations

import pytest
import torch
from alpharl.errors import CheckpointError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    """Seven tensors of several dtypes and shapes, among them a scalar."""
    rng = torch.Generator().manual_seed(1)
    return {
        "a.weight": torch.randn(6, 4, generator=rng),
        "b.weight": torch.randn(5, 3, generator=rng).to(torch.bfloat16),
        "c.bias": torch.randn(7, generator=rng).to(torch.float16),
        "d.weight": torch.randn(2, 3, 4, generator=rng),
        "e.count": torch.arange(5),
        "f.scale": torch.tensor(1.5),
        "g.weight": torch.randn(3, 3, generator=rng, dtype=torch.float64),
    }


def one_line(error: pytest.ExceptionInfo[CheckpointError]) -> str:
    """The message, which is one line."""
    text = str(error.value)
    assert "\n" not in text
    return text
