"""Manifests, digests and the steps of a run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.manifest import (
    KnownDigests,
    describe_model,
    digest_file,
    write_checkpoints,
    write_manifest,
)
from alpharl.checkpoints.sources import at_steps, find_steps, step_of
from alpharl.errors import CheckpointError
from tests.unit.weights import SINGLE, tensors

__all__ = ["tensors"]


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
    assert known.told(folders[1]) == known[str(folders[1])] == expected[1]
    assert known.told(folders[2]) is None
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
