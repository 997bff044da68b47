"""Models and small files are written complete or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from alpharl.checkpoints.array_files import write_arrays
from alpharl.checkpoints.files import write_json
from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.writer import ModelWriter
from alpharl.errors import CheckpointError
from safetensors import safe_open
from safetensors.torch import load_file
from tests.unit.weights import INDEX, SINGLE, tensors

__all__ = ["tensors"]


@pytest.mark.parametrize(("shard_bytes", "files"), [(1 << 20, 1), (100, 5), (1, 7)])
def test_writer_round_trip(tmp_path, write_model, tensors, shard_bytes, files):
    source = write_model(tmp_path / "base", tensors, 2)
    (source / "tokenizer.json").write_text('{"t": 1}')
    (source / "pytorch_model.bin").write_bytes(b"old weights")
    (source / ".hidden").write_text("not for you")
    out = tmp_path / "deep" / "out"
    writer = ModelWriter(out, read_index(source), shard_bytes)
    for name, tensor in tensors.items():
        writer.add(name, tensor)
    assert not out.exists(), "nothing stands at the final place before the end"
    writer.finish()

    index = read_index(out)
    assert len(index.files) == files
    found = {}
    for file in index.files:
        part = load_file(out / file)
        size = sum(t.numel() * t.element_size() for t in part.values())
        assert size <= shard_bytes or len(part) == 1
        found |= part
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype
    weights = [SINGLE] if files == 1 else [INDEX, *index.files]
    companions = ["config.json", "tokenizer.json"]
    assert sorted(p.name for p in out.iterdir()) == sorted(weights + companions)
    if files > 1:
        data = json.loads((out / INDEX).read_text())
        assert data["weight_map"] == {name: info.file for name, info in index.tensors.items()}
        assert data["metadata"]["total_size"] == sum(i.nbytes for i in index.tensors.values())
        width = f"{files:05d}"
        assert index.files == [f"model-{i + 1:05d}-of-{width}.safetensors" for i in range(files)]
    assert [p.name for p in out.parent.iterdir()] == ["out"]


def test_writer_accepts_views_and_transposes(tmp_path, write_model):
    source = write_model(tmp_path / "base", {"w": torch.zeros(1)})
    whole = torch.arange(12.0).reshape(3, 4)
    writer = ModelWriter(tmp_path / "out", read_index(source))
    writer.add("t", whole.T)
    writer.add("row", whole[1])
    writer.finish()
    found = load_file(tmp_path / "out" / SINGLE)
    assert torch.equal(found["t"], whole.T)
    assert torch.equal(found["row"], whole[1])


def test_writer_refuses_an_existing_folder(tmp_path, write_model, tensors):
    source = write_model(tmp_path / "base", tensors)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(CheckpointError, match="exists already; remove it or name another"):
        ModelWriter(tmp_path / "out", read_index(source))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base", "out"]


def test_writer_discard_leaves_nothing(tmp_path, write_model, tensors):
    source = write_model(tmp_path / "base", tensors)
    writer = ModelWriter(tmp_path / "out", read_index(source), 50)
    for name, tensor in tensors.items():
        writer.add(name, tensor)
    writer.discard()
    assert [p.name for p in tmp_path.iterdir()] == ["base"]


# --- small files ---


def test_json_refuses_nan_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_arrays_in_any_memory_order_round_trip(tmp_path):
    array = np.arange(12.0).reshape(3, 4)
    write_arrays(tmp_path / "a.safetensors", {"t": array.T, "cut": array[:, ::2]}, {"k": [1, 2]})
    with safe_open(tmp_path / "a.safetensors", framework="np") as file:
        np.testing.assert_array_equal(file.get_tensor("t"), array.T)
        np.testing.assert_array_equal(file.get_tensor("cut"), array[:, ::2])
        assert json.loads(file.metadata()["alpharl"])["k"] == [1, 2]
