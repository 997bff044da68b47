"""What `alpharl unpack` refuses; tests/engines unpacks a real file."""

from __future__ import annotations


def test_what_cannot_be_unpacked_is_said(cli, tmp_path):
    text, out = tmp_path / "model.gguf", tmp_path / "out"
    assert "no such file" in cli("unpack", text, "--out", out).error
    text.write_text("not a model")
    assert "found b'not ' at its start, expected" in cli("unpack", text, "--out", out).error
    text.write_bytes(b"GGUF" + bytes(20))
    assert f"{text}: transformers cannot read it" in cli("unpack", text, "--out", out).error
    assert not out.exists()
    assert f"{text}: exists already" in cli("unpack", text, "--out", text).error
