"""Weights as they are read: tensors, and updates in a stream."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from alpharl.checkpoints import stream as stream_module
from alpharl.checkpoints.reader import ModelReader
from alpharl.checkpoints.stream import Span, load_update, streamer
from alpharl.errors import CheckpointError
from tests.unit.weights import SINGLE, one_line, tensors

__all__ = ["tensors"]


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
    cut = pytest.raises(CheckpointError, match="ends within w; copy it again")
    with cut, ModelReader(folder) as reader:
        os.truncate(folder / SINGLE, 4096)
        reader.stored("w")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, write_model):
    folder = write_model(tmp_path / "model", {"w": torch.ones(64, 64)})
    changed = pytest.raises(CheckpointError, match="weights changed while they were read")
    with changed, ModelReader(folder) as reader:
        reader.stored("w")
        write_model(folder, {"w": torch.zeros(64, 64)})


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
