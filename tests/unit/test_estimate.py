"""Sizes from headers alone: of a 7B model whose files hold nothing but headers, and refusals."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from alpharl.checkpoints.index import read_index
from alpharl.errors import CheckpointError
from alpharl.spectra.depth import Depth
from alpharl.spectra.estimate import RunSize, estimate_run
from tests.unit.headers import HIDDEN, KV, LAYERS, MLP, header_model, qwen_7b

NAME = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `base`, and `step-10`, `step-20`, of the 7B model."""
    folder = tmp_path_factory.mktemp("qwen")
    for name in ("base", "step-10", "step-20"):
        header_model(folder / name, qwen_7b(), files=4)
    return folder


def estimate(folder: Path, rank: int, base: str = "base") -> RunSize:
    index = read_index(folder / base)
    steps = [read_index(folder / f"step-{step}") for step in (10, 20)]
    return estimate_run(index, steps, "paper", Depth(rank))


def test_a_7b_model_by_hand(big):
    found = estimate(big, rank=1)
    assert (found.tensors, found.parameters) == (339, 7_615_616_512)
    assert (found.dtypes, found.files, found.tied) == ("BF16", 4, False)
    assert found.checkpoint == 2 * 7_615_616_512
    per_layer = 2 * HIDDEN * HIDDEN + 2 * KV * HIDDEN + 3 * MLP * HIDDEN
    assert found.factors_read == 2 * 2 * (2 * LAYERS * per_layer)
    assert found.gram_read == 3 * found.checkpoint
    assert found.peak_memory == 4 * MLP * HIDDEN + 8 * 320 * (MLP + HIDDEN) + 64 * 1024**2
    # Rank 1: q, o 7170, k, v 4098, gate, up, down 22530 numbers per layer, in float32.
    assert found.factors == 4 * 28 * (2 * 7170 + 2 * 4098 + 3 * 22530) == 10_094_112
    assert found.full_svd == 4 * 28 * (2 * 3584 * 7169 + 2 * 512 * 4097 + 3 * 3584 * 22529)
    assert found.full_svd == 33_355_227_136
    assert found.gram == 339 * 2 * 2 * 8 + 2 * 8


def test_few_triplets_take_a_small_part_of_the_full_svd(big):
    assert estimate(big, 1).factors * 3000 < estimate(big, 1).full_svd
    assert estimate(big, 8).factors * 400 < estimate(big, 8).full_svd
    assert estimate(big, 8).factors == 8 * estimate(big, 1).factors


def test_no_more_triplets_are_counted_than_a_matrix_has(tmp_path):
    for name in ("base", "step-10", "step-20"):
        header_model(tmp_path / name, {NAME: (3, 5)})
    assert estimate(tmp_path, rank=16).factors == 4 * 3 * (5 + 3 + 2)


def test_dtypes_that_differ_are_reported(tmp_path):
    shapes = {NAME: (3, 5), "model.norm.weight": (5,)}
    header_model(tmp_path / "base", shapes, "F32")
    header_model(tmp_path / "step-10", shapes, "BF16")
    header_model(tmp_path / "step-20", shapes, {NAME: "BF16"})
    found = estimate(tmp_path, rank=1)
    assert found.dtypes == "BF16+F32, base F32"
    assert found.tied
    assert found.files == 1
    assert found.factors_read == 2 * 15 * 4 + 2 * 15 * 2


FP8 = {NAME: "F8_E4M3"}


@pytest.mark.parametrize(
    ("extra", "dtype", "message"),
    [
        ({NAME + "_scale_inv": (1, 1)}, FP8, r"F8_E4M3 with scales in .*weight_scale_inv, expec"),
        ({NAME + "_scale": (1,)}, FP8, r"F8_E4M3 with scales in .*weight_scale, .* dequantise"),
        ({}, {NAME: "I8"}, "is I8, expected one of F64, F32, F16, BF16, F8_E4M3, F8_E5M2; convert"),
        ({}, {NAME: "F4"}, "is F4, expected one of"),
        ({"model.norm.bias": (5,)}, "BF16", "has an extra tensor model.norm.bias"),
    ],
)
def test_weights_that_cannot_be_subtracted_are_refused(tmp_path, extra, dtype, message):
    shapes = {NAME: (4, 6)}
    for name in ("base", "step-10"):
        header_model(tmp_path / name, shapes)
    header_model(tmp_path / "step-20", shapes | extra, dtype)
    with pytest.raises(CheckpointError, match=f"step-20: .*{message}") as caught:
        estimate(tmp_path, rank=1)
    assert "\n" not in str(caught.value)


def test_fp8_without_scales_and_integers_out_of_scope_are_taken(tmp_path):
    shapes = {NAME: (4, 6), "model.counter": (2,)}
    for name in ("base", "step-10", "step-20"):
        header_model(tmp_path / name, shapes, FP8 | {"model.counter": "I64"})
    assert estimate(tmp_path, rank=1).checkpoint == 24 + 16


def study_file(folder: Path, models: Path, **changes: object) -> Path:
    """A study of the models in a folder."""
    task = {"task": "addition"}
    study = {
        "study": "s",
        "results": str(folder / "results"),
        "bases": {"b": {"path": str(models / "base")}},
        "runs": {
            "r": {"base": "b", "checkpoints": f"{models}/step-{{step}}", "steps": [10, 20]},
        },
        "suites": {
            role: {"role": role, "tasks": [{**task, "split": role}], "max_new_tokens": 9}
            for role in ("validation", "test")
        },
        "spectra": {"rank": 8},
        **changes,
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


def test_check_prints_the_sizes(big, tmp_path, cli):
    out = cli("check", study_file(tmp_path, big)).out
    figures = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in out.splitlines()[-12:]}
    assert figures["parameters"] == "7,615,616,512"
    assert figures["files"] == "4 (sharded)"
    assert figures["output head"] == "own"
    assert figures["one checkpoint"] == "14.2 GiB"
    assert figures["factors read (all checkpoints)"] == "48.6 GiB"
    assert figures["gram reads (all checkpoints)"] == "42.6 GiB"
    assert figures["peak memory of a factor job"] == "378.0 MiB"
    assert figures["factors written per checkpoint"] == "77.0 MiB"
    assert figures["full U, S, V would take"] == "31.1 GiB (413 times)"
    assert figures["gram written"] == "10.6 KiB"


def test_check_tells_the_same_as_json(big, tmp_path, cli):
    path = study_file(tmp_path, big, spectra={"rank": 1})
    shown = json.loads(cli("check", "--json", path).out)
    (run,) = shown["runs"].values()
    assert (run["base"], run["steps"], run["is_path"]) == ("b", [10, 20], False)
    assert run["sizes"]["factors"] == estimate(big, rank=4).factors
    assert run["sizes_unknown"] is None
    assert (shown["rank"], shown["depth"]["rank"]) == (1, 4), "rank-k models read 4"
    assert "stored depth raised from rank 1 to rank 4" in cli("check", path).out
    assert shown["suites"] == {"validation": 3, "test": 3 + run["rank_variants"]}
    assert shown["cost"] is None


def read_so_far() -> int:
    """Bytes that this process has read, from wherever."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


def test_estimates_read_headers_only(big):
    before = read_so_far()
    estimate(big, rank=8)
    assert read_so_far() - before < 2**20


def test_check_refuses_a_full_disk_with_both_numbers(big, tmp_path, cli, monkeypatch):
    free = shutil._ntuple_diskusage(0, 0, 100 * 2**20)
    monkeypatch.setattr("alpharl.study.check.shutil.disk_usage", lambda path: free)
    error = cli("check", study_file(tmp_path, big)).error
    assert "found 100.0 MiB free, expected 154.0 MiB for factors and grams" in error
    # What an earlier run wrote already needs no room any more.
    made = tmp_path / "results/s/runs/r/factors/step-10/shard-0.safetensors"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"")
    os.truncate(made, 77 * 2**20)
    assert cli("check", study_file(tmp_path, big)).status == 0


def test_check_says_what_is_not_known_yet(tmp_path, cli):
    changes = {
        "bases": {"b": {"pretrain": {"problem": "addition"}}},
        "runs": {"r": {"base": "b", "train": {"steps": 20, "save_every": 10}}},
    }
    path = study_file(tmp_path, tmp_path, **changes)
    assert "r: base trained here: sizes known after training" in cli("check", path).out
    base = tmp_path / "results/s/bases/b"
    header_model(base / "model", {NAME: (300, 500)}, "F32")
    (base / "manifest.json").write_text("{}")
    out = cli("check", path).out
    assert "known after" not in out
    assert "585.9 KiB" in out  # one checkpoint, as large as its base
