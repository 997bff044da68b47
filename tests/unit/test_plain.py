"""Which tensors are weights as they stand, and that NaN and infinity are found in each dtype."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from alpharl.checkpoints.finite import digest_weights
from alpharl.checkpoints.index import read_index
from alpharl.errors import CheckpointError
from safetensors.torch import save_file

BUFFERS = {
    "h.0.attn.bias": torch.ones(1, 1, 4, 4, dtype=torch.bool),
    "gpt_neox.layers.0.attention.bias": torch.ones(1, 1, 4, 4, dtype=torch.uint8),
    "vision_model.embeddings.position_ids": torch.arange(5).view(1, 5),
    "bn.num_batches_tracked": torch.tensor(3),
}
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2,
          torch.float8_e4m3fn)  # fmt: skip
NOT_FINITE = [(dtype, float("nan")) for dtype in FLOATS]
NOT_FINITE += [(dtype, value) for dtype in FLOATS[:-1] for value in (float("inf"), float("-inf"))]
"""Of the last dtype, which has no infinity, NaN alone."""


def test_buffers_of_integers_are_no_parameters(tmp_path, write_model):
    tensors = {"a.weight": torch.ones(3, 2), **BUFFERS}
    index = read_index(write_model(tmp_path / "m", tensors))
    assert set(index.tensors) == {"a.weight", "bn.num_batches_tracked"}, "no masks, no positions"


@pytest.mark.parametrize(
    "name", ["h.0.attn.c_attn.bias", "model.norm.weight", "model.layers.0.mlp.experts.down_proj"]
)
def test_parameters_of_integers_are_refused(tmp_path, write_model, name):
    value = torch.ones(2, 3, 4) if "experts" in name else torch.ones(4)
    folder = write_model(tmp_path / "m", {name: value.to(torch.int32)})
    with pytest.raises(CheckpointError, match=f"{name} is I32, expected one of F64"):
        read_index(folder)


def test_a_config_tells_of_scales_that_lie_elsewhere(tmp_path, write_model):
    folder = write_model(tmp_path / "m", {"a.weight": torch.ones(3, 2).to(torch.float8_e4m3fn)})
    assert read_index(folder)
    (folder / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": "x"}}))
    with pytest.raises(CheckpointError, match=r"F8_E4M3 of a model quantised by 'x', expected pl"):
        read_index(folder)


def test_a_quantised_model_s_config_on_plain_weights_is_of_no_matter(tmp_path, write_model):
    folder = write_model(tmp_path / "m", {"a.weight": torch.ones(3, 2)})
    (folder / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": "x"}}))
    assert read_index(folder)


@pytest.mark.parametrize(("dtype", "value"), NOT_FINITE)
@pytest.mark.parametrize("at", [0, 300_000, -1])
def test_one_bad_number_is_found_anywhere(tmp_path, dtype, value, at):
    tensors = {"a": torch.randn(700_001).to(dtype), "b": torch.zeros(3)}
    path = tmp_path / "model.safetensors"
    save_file(tensors, path)
    assert digest_weights(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    tensors["a"][at] = value
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="a holds 1 values that are not finite"):
        digest_weights(path)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_largest_numbers_are_finite(tmp_path, dtype):
    info = torch.finfo(dtype)
    largest = torch.tensor([info.max, info.min, info.tiny, 0.0], dtype=torch.float64)
    save_file({"a": largest.to(dtype)}, tmp_path / "m")
    digest_weights(tmp_path / "m")


def test_every_pattern_of_bits_of_the_short_dtypes(tmp_path):
    """As torch tells them apart."""
    for dtype in (torch.float16, torch.bfloat16):
        bits = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype)
        bad = int((~torch.isfinite(bits.float())).sum())
        save_file({"a": bits}, tmp_path / "m")
        with pytest.raises(CheckpointError, match=f"a holds {bad} values"):
            digest_weights(tmp_path / "m")
