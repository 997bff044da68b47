"""Weights on disk: index, reader, writer, manifests and sources."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from alpharl.checkpoints import stream as stream_module
from alpharl.checkpoints.files import write_arrays, write_atomic, write_json
from alpharl.checkpoints.index import read_index, require_same_tensors
from alpharl.checkpoints.manifest import (
    KnownDigests,
    describe_model,
    digest_file,
    write_checkpoints,
    write_manifest,
)
from alpharl.checkpoints.reader import ModelReader
from alpharl.checkpoints.sources import at_steps, find_steps, step_of
from alpharl.checkpoints.stream import Span, load_update, streamer
from alpharl.checkpoints.writer import ModelWriter
from alpharl.errors import CheckpointError
from safetensors import safe_open
from safetensors.torch import load_file

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


# --- index ---


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


# --- reader ---


@pytest.mark.parametrize("files", [1, 3])
def test_reader_gives_stored_and_float32(tmp_path, write_model, tensors, files):
    with ModelReader(write_model(tmp_path / "model", tensors, files)) as reader:
        for name in ["g.weight", *tensors, "a.weight"]:  # back and forth between files
            assert torch.equal(reader.stored(name), tensors[name])
            assert reader.stored(name).dtype == tensors[name].dtype
            assert torch.equal(reader.float32(name), tensors[name].float())


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float64])
def test_every_storage_type_is_upcast(tmp_path, write_model, dtype):
    weights = (torch.randn(7, 5, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    with ModelReader(write_model(tmp_path / "model", {"w": weights})) as reader:
        assert torch.equal(reader.stored("w").view(torch.uint8), weights.view(torch.uint8))
        assert torch.equal(reader.float32("w"), weights.to(torch.float32))


def test_file_cut_while_it_is_read_is_refused(tmp_path, write_model):
    folder = write_model(tmp_path / "model", {"w": torch.ones(64, 64)})
    with ModelReader(folder) as reader:
        os.truncate(folder / SINGLE, 4096)
        with pytest.raises(CheckpointError, match="ends within w; copy it again"):
            reader.stored("w")


# --- streamed updates ---


def update(base: Path, step: Path, span: Span) -> tuple[torch.Tensor, float]:
    """The update of a span and its squared norm."""
    out = torch.full((span.count,), 7.0)
    with ModelReader(base) as old, ModelReader(step) as new, streamer("cpu") as stream:
        assert list(stream.announced([span], [old, new], lambda s: s)) == [span]
        return out, load_update(stream, old, new, span, out)


@pytest.mark.parametrize("chunk", [1, 7, 100, 1 << 16])
@pytest.mark.parametrize(("start", "count"), [(0, 300), (5, 1), (13, 200), (299, 1)])
def test_streamed_update_is_the_difference(tmp_path, write_model, monkeypatch, chunk, start, count):
    monkeypatch.setattr(stream_module, "CHUNK", chunk)
    rng = torch.Generator().manual_seed(0)
    before, after = (torch.randn(30, 10, generator=rng) for _ in range(2))
    base = write_model(tmp_path / "base", {"v": torch.ones(3), "w": before.to(torch.bfloat16)})
    step = write_model(tmp_path / "step-1", {"v": torch.ones(3), "w": after})
    found, squared = update(base, step, Span("w", start, count))
    expected = (after - before.to(torch.bfloat16).float()).view(-1)[start : start + count]
    assert torch.equal(found, expected)
    assert squared == pytest.approx(float(expected.double().square().sum()), rel=1e-6)


def test_streaming_leaves_torchs_threads_alone():
    before = torch.get_num_threads()
    with streamer("cpu") as stream:
        list(stream._pool.map(lambda i: torch.ones(100_000).sum(), range(8)))
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_norm_of_updates_whose_squares_leave_float32(tmp_path, write_model, scale):
    base = write_model(tmp_path / "base", {"w": torch.zeros(3, 3)})
    step = write_model(tmp_path / "step-1", {"w": torch.full((3, 3), scale)})
    _, squared = update(base, step, Span("w", 0, 9))
    assert squared == pytest.approx(9 * scale**2, rel=1e-6)


def test_bf16_is_upcast_before_subtraction(tmp_path, write_model):
    before = torch.tensor([[1.0, -0.3]]).to(torch.bfloat16)
    after = torch.tensor([[0.001, 2.0]]).to(torch.bfloat16)
    exact = after.double() - before.double()
    assert not torch.equal((after - before).double(), exact), "bf16 arithmetic would be caught"
    base = write_model(tmp_path / "base", {"w": before})
    step = write_model(tmp_path / "step-1", {"w": after})
    delta, _ = update(base, step, Span("w", 0, 2))
    assert delta.dtype == torch.float32
    exact = exact.view(-1)
    assert torch.equal(delta.double(), exact)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_value_not_finite_is_refused_by_name(tmp_path, write_model, value, dtype):
    good = {"a.weight": torch.ones(3, 3, dtype=dtype), "b.weight": torch.ones(4, 2, dtype=dtype)}
    bad = {name: t.clone() for name, t in good.items()}
    bad["b.weight"][2:, 1] = value
    base = write_model(tmp_path / "base", good)
    step = write_model(tmp_path / "step-9", bad)
    assert not update(base, step, Span("a.weight", 0, 9))[1]
    assert not update(base, step, Span("b.weight", 0, 4))[1], "the rows above are good"
    with pytest.raises(CheckpointError) as error:
        update(base, step, Span("b.weight", 0, 8))
    text = one_line(error)
    assert text.startswith(f"{step}: b.weight holds 2 values that are not finite")


def test_finite_values_whose_sum_overflows_are_accepted(tmp_path, write_model):
    huge = torch.full((4, 4), 3e38)
    with ModelReader(write_model(tmp_path / "model", {"w": huge})) as reader:
        assert torch.equal(reader.float32("w"), huge)


def test_infinities_that_cancel_in_the_sum_are_refused(tmp_path, write_model):
    weights = torch.tensor([float("inf"), float("-inf"), 0.0])
    with (
        ModelReader(write_model(tmp_path / "model", {"w": weights})) as reader,
        pytest.raises(CheckpointError, match="w holds 2 values"),
    ):
        reader.float32("w")


# --- writer ---


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


@pytest.mark.parametrize("old", [None, "old"])
def test_atomic_write_leaves_no_partial(tmp_path, old):
    path = tmp_path / "deep" / "file.txt"
    if old:
        path.parent.mkdir()
        path.write_text(old)

    def half(partial: Path) -> None:
        assert partial.parent == path.parent, "a rename is atomic only within one folder"
        partial.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, half)
    assert [p.read_text() for p in path.parent.iterdir()] == ([old] if old else [])
    write_atomic(path, lambda partial: partial.write_text("new"))
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o644, "readable by the group"


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
        assert json.loads(file.metadata()["alpharl"]) == {"k": [1, 2]}


# --- manifests ---


def test_manifest_says_what_the_folder_holds(tmp_path, write_model, tensors):
    base = write_model(tmp_path / "base", tensors)
    folder = write_model(tmp_path / "step-12", tensors, 3)
    write_manifest(folder, 12, tmp_path / "m.json", base)
    found = json.loads((tmp_path / "m.json").read_text())
    assert found["step"] == 12
    assert found["path"] == str(folder)
    assert found["tensors"] == 7
    assert found["bytes"] == sum(t.numel() * t.element_size() for t in tensors.values())
    assert found["dtypes"] == ["BF16", "F16", "F32", "F64", "I64"]
    assert found["files"] == {p.name: digest_file(p) for p in sorted(folder.glob("*.safetensors"))}


def test_digest_follows_the_content(tmp_path, write_model, tensors):
    first = describe_model(read_index(write_model(tmp_path / "a", tensors, 2)), 1)
    same = describe_model(read_index(write_model(tmp_path / "b", tensors, 2)), 9)
    assert same["digest"] == first["digest"], "neither path nor step is content"
    changed = dict(tensors)
    changed["g.weight"] = tensors["g.weight"].clone()
    changed["g.weight"][0, 0] += 1e-9
    other = describe_model(read_index(write_model(tmp_path / "c", changed, 2)), 1)
    assert other["digest"] != first["digest"]


def test_manifest_of_an_unfit_checkpoint_is_not_written(tmp_path, write_model):
    base = write_model(tmp_path / "base", {"w": torch.ones(2, 2)})
    folder = write_model(tmp_path / "step-1", {"w": torch.ones(2, 3)})
    with pytest.raises(CheckpointError):
        write_manifest(folder, 1, tmp_path / "m.json", base)
    assert not (tmp_path / "m.json").exists()


def test_known_digests(tmp_path, write_model, monkeypatch):
    folders = {s: write_model(tmp_path / f"step-{s}", {"w": torch.full((2,), s)}) for s in (1, 2)}
    for step, folder in folders.items():
        write_manifest(folder, step, tmp_path / f"{step}.json")
    expected = {s: describe_model(read_index(f), s)["digest"] for s, f in folders.items()}
    monkeypatch.chdir(tmp_path)
    known = KnownDigests([tmp_path / "1.json"])
    assert dict(known) == {str(folders[1]): expected[1]}
    assert known[os.path.abspath("step-2")] == expected[2], "no manifest: read and hashed"
    (folders[2] / SINGLE).unlink()
    assert known[str(folders[2])] == expected[2], "hashed once"
    with pytest.raises(CheckpointError):
        known[str(tmp_path / "step-3")]


def test_checkpoints_table_is_ordered_by_step(tmp_path, write_model):
    paths = []
    for step in (100, 20, 3):
        folder = write_model(tmp_path / f"step-{step}", {"w": torch.full((2,), step)})
        write_manifest(folder, step, tmp_path / f"{step}.json")
        paths.append(tmp_path / f"{step}.json")
    write_checkpoints("run", "base", paths, tmp_path / "table.json")
    table = json.loads((tmp_path / "table.json").read_text())
    assert table["steps"] == [3, 20, 100]
    assert [Path(row["path"]).name for row in table["checkpoints"]] == [
        "step-3",
        "step-20",
        "step-100",
    ]
    assert len({row["digest"] for row in table["checkpoints"]}) == 3


# --- sources ---


@pytest.mark.parametrize(
    ("pattern", "folders", "expected"),
    [
        ("step-{step}", ["step-10", "step-9", "step-100"], [9, 10, 100]),
        ("step-{step}/", ["step-10", "step-9"], [9, 10]),
        ("checkpoint-{step}", ["checkpoint-5", "checkpoint-best", "checkpoint-"], [5]),
        ("{step}", ["12", "x12", "12x"], [12]),
        ("global_step_{step}/actor/hf", ["global_step_3/actor/hf", "global_step_4/actor"], [3]),
        ("a[1]*/s{step}", ["a[1]*/s7", "a1x/s8"], [7]),
    ],
)
def test_find_steps(tmp_path, pattern, folders, expected):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "step-77").write_text("a file, not a folder")
    found = find_steps(f"{tmp_path}/{pattern}")
    assert list(found) == expected
    for step, path in found.items():
        assert path.is_dir()
        assert path == Path(f"{tmp_path}/{pattern}".replace("{step}", str(step)))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("step-5", r"expected '\{step\}' once"),
        ("{step}/step-{step}", r"expected '\{step\}' once"),
        ("nothing-{step}", "no folder matches"),
    ],
)
def test_find_steps_refuses(tmp_path, pattern, message):
    with pytest.raises(CheckpointError, match=message):
        find_steps(f"{tmp_path}/{pattern}")


def test_steps_by_name():
    assert at_steps("run/step-{step}", [3, 12]) == {3: Path("run/step-3"), 12: Path("run/step-12")}
    assert step_of(Path("run/checkpoint-0120")) == 120
    with pytest.raises(CheckpointError, match="found no step in the name; give it with --step"):
        step_of(Path("run/final"))
