"""What `alpharl unpack` writes and refuses; tests/engines unpacks a real file."""

from __future__ import annotations

import numpy as np
from safetensors.numpy import load_file
from tests.workflow.tiny_gguf import write_gguf


def test_what_cannot_be_unpacked_is_said(cli, tmp_path):
    text, out = tmp_path / "model.gguf", tmp_path / "out"
    assert "no such file" in cli("unpack", text, "--out", out).error
    text.write_text("not a model")
    assert "found b'not ' at its start, expected" in cli("unpack", text, "--out", out).error
    text.write_bytes(b"GGUF" + bytes(20))
    assert f"{text}: transformers cannot read it" in cli("unpack", text, "--out", out).error
    assert not out.exists()
    assert f"{text}: exists already" in cli("unpack", text, "--out", text).error


def test_weights_are_those_of_the_file(cli, tmp_path):
    tensors = write_gguf(tmp_path / "model.gguf")
    assert cli("unpack", tmp_path / "model.gguf", "--out", tmp_path / "out").status == 0
    weights = load_file(tmp_path / "out/model.safetensors")
    assert len(weights) == len(tensors)
    for ours, theirs in {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.layers.0.mlp.down_proj.weight": "blk.0.ffn_down.weight",
        "model.layers.0.self_attn.k_proj.bias": "blk.0.attn_k.bias",
        "lm_head.weight": "output.weight",
    }.items():
        np.testing.assert_array_equal(weights[ours], tensors[theirs])
