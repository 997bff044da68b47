"""The index of a model folder: what is read of it, and what is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from alpharl.checkpoints.fit import require_same_tensors
from alpharl.checkpoints.index import read_index
from alpharl.errors import CheckpointError
from safetensors import safe_open
from tests.unit.weights import INDEX, SINGLE, one_line, tensors

__all__ = ["tensors"]


@pytest.mark.parametrize("files", [1, 3])
def test_index_declares_what_safetensors_reads(tmp_path, write_model, tensors, files):
    index = read_index(write_model(tmp_path / "model", tensors, files))
    assert set(index.tensors) == set(tensors)
    assert len(index.files) == files
    for name, info in index.tensors.items():
        with safe_open(index.folder / info.file, framework="pt") as file:
            stored = file.get_tensor(name)
        assert torch.equal(stored, tensors[name])
        assert info.shape == tuple(stored.shape)
        assert info.nbytes == stored.numel() * stored.element_size()
        raw = (index.folder / info.file).read_bytes()[info.start : info.stop]
        assert raw == stored.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def test_index_order_is_that_of_the_bytes(tmp_path, write_model, tensors):
    infos = list(read_index(write_model(tmp_path / "model", tensors)).tensors.values())
    assert [info.start for info in infos] == sorted(info.start for info in infos)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        ("no folder", ["no such checkpoint folder", "check the path"]),
        ("empty folder", ["found no weights", f"expected {SINGLE} or {INDEX}"]),
        ("pickle only", ["found pytorch_model.bin", f"expected {SINGLE}", "save the model as"]),
        ("adapter only", ["found a LoRA adapter alone", f"expected {SINGLE}", "merge it"]),
        ("data cut", ["found", "bytes, expected", "cut short", "copy it again"]),
        ("header cut", ["not a safetensors file", "copy it again"]),
        ("four bytes", ["not a safetensors file", "copy it again"]),
        ("not safetensors", ["not a safetensors file", "copy it again"]),
        ("header a list", ["not a safetensors file", "copy it again"]),
    ],
)
def test_broken_folder_is_one_line(tmp_path, write_model, tensors, spoil, expected):
    folder = tmp_path / "step-7"
    if spoil != "no folder":
        write_model(folder, tensors)
        whole = (folder / SINGLE).read_bytes()
        cut = {"data cut": whole[:-3], "header cut": whole[:40], "four bytes": whole[:4]}
        cut |= {"not safetensors": b"PK\x03\x04" * 50}
        cut |= {"header a list": struct.pack("<Q", 2) + b"[]"}
        if spoil in cut:
            (folder / SINGLE).write_bytes(cut[spoil])
        else:
            (folder / SINGLE).unlink()
        if spoil == "adapter only":
            (folder / "adapter_model.safetensors").write_bytes(whole)
        if spoil == "pickle only":
            (folder / "pytorch_model.bin").write_bytes(b"\x80\x02}.")
    with pytest.raises(CheckpointError) as error:
        read_index(folder)
    text = one_line(error)
    assert str(folder) in text
    for words in expected:
        assert words in text


@pytest.mark.parametrize("spoil", ["file missing", "index not JSON", "index without weight_map"])
def test_broken_sharded_folder_is_one_line(tmp_path, write_model, tensors, spoil):
    folder = write_model(tmp_path / "model", tensors, 3)
    if spoil == "file missing":
        (folder / "model-00002-of-00003.safetensors").unlink()
    else:
        (folder / INDEX).write_text("{" if spoil == "index not JSON" else "{}")
    with pytest.raises(CheckpointError) as error:
        read_index(folder)
    assert str(folder) in one_line(error)


def test_the_hub_s_cache_links_its_files(tmp_path, write_model, tensors):
    folder = write_model(tmp_path / "models--a--b" / "snapshots" / "0123", tensors, 2)
    blobs = tmp_path / "models--a--b" / "blobs"
    blobs.mkdir()
    for i, path in enumerate(sorted(folder.glob("*.safetensors"))):
        path.rename(blobs / str(i))
        path.symlink_to(Path("../../blobs") / str(i))
    (tmp_path / "link").symlink_to(folder)
    for way in (folder, tmp_path / "link"):
        assert set(read_index(way).tensors) == set(tensors)
    (blobs / "0").rename(tmp_path / "0")
    (folder / "model-00001-of-00002.safetensors").unlink()
    (folder / "model-00001-of-00002.safetensors").symlink_to(tmp_path / "0")
    with pytest.raises(CheckpointError, match="is a link to"):
        read_index(folder)


def test_index_that_names_an_absent_tensor_is_refused(tmp_path, write_model, tensors):
    folder = write_model(tmp_path / "model", tensors, 3)
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"]["h.weight"] = index["weight_map"]["a.weight"]
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"h\.weight"):
        read_index(folder)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("missing", "lacks tensor b.weight"),
        ("extra", "has an extra tensor z.weight"),
        ("shape", "b.weight has shape [5, 4], expected [5, 3]"),
    ],
)
def test_other_tensors_than_the_base_are_refused(tmp_path, write_model, tensors, change, expected):
    other = dict(tensors)
    if change == "missing":
        del other["b.weight"]
    elif change == "extra":
        other["z.weight"] = torch.zeros(2, 2)
    else:
        other["b.weight"] = torch.zeros(5, 4, dtype=torch.bfloat16)
    base = read_index(write_model(tmp_path / "base", tensors))
    checkpoint = read_index(write_model(tmp_path / "step-3", other))
    with pytest.raises(CheckpointError) as error:
        require_same_tensors(base, checkpoint)
    text = one_line(error)
    assert text.startswith(f"{tmp_path / 'step-3'}: ")
    assert expected in text
    assert str(tmp_path / "base") in text


def test_another_dtype_or_file_layout_is_accepted(tmp_path, write_model, tensors):
    base = read_index(write_model(tmp_path / "base", tensors))
    other = {name: t.to(torch.bfloat16) for name, t in reversed(tensors.items())}
    require_same_tensors(base, read_index(write_model(tmp_path / "step-3", other, 4)))
