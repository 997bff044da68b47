"""Models of 8-bit codes: refused where weights are read, and unpacked into what they stand for."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.conftest import save_model

UP = "model.layers.0.mlp.up_proj.weight"
NORM = "model.norm.weight"
CONFIG = {"model_type": "x", "quantization_config": {"weight_block_size": [4, 3]}}
Tensors = dict[str, torch.Tensor]


def weights(seed: int) -> torch.Tensor:
    """(10, 8): no multiple of a block."""
    return torch.randn(10, 8, generator=torch.Generator().manual_seed(seed))


def by_block(w: torch.Tensor) -> tuple[Tensors, np.ndarray]:
    """FP8 codes with a scale for each block of 4 x 3, and what they stand for."""
    codes, scales = torch.empty(10, 8, dtype=torch.float8_e4m3fn), torch.empty(3, 3)
    meant = np.empty((10, 8))
    for i in range(3):
        for j in range(3):
            at = slice(4 * i, 4 * i + 4), slice(3 * j, 3 * j + 3)
            scales[i, j] = w[at].abs().max() / 448
            codes[at] = (w[at] / scales[i, j]).to(codes.dtype)
            meant[at] = codes[at].double() * float(scales[i, j])
    return {UP: codes, f"{UP}_scale_inv": scales}, meant


def by_row(w: torch.Tensor) -> tuple[Tensors, np.ndarray]:
    """int8 codes with a scale for each row, and one for the module's inputs."""
    scales = w.abs().amax(1, keepdim=True) / 127
    codes = (w / scales).round().to(torch.int8)
    inputs = UP.replace("weight", "input_scale")
    tensors = {UP: codes, f"{UP}_scale": scales, inputs: torch.tensor(0.5)}
    return tensors, (codes.double() * scales.double()).numpy()


def by_tensor(w: torch.Tensor) -> tuple[Tensors, np.ndarray]:
    """FP8 codes with one scale."""
    codes, scale = (w * 100).to(torch.float8_e5m2), torch.tensor([0.01]).to(torch.bfloat16)
    return {UP: codes, f"{UP}_scale": scale}, (codes.double() * float(scale)).numpy()


def quantised(folder: Path, tensors: Tensors) -> Path:
    save_model(folder, {**tensors, NORM: torch.ones(8, dtype=torch.bfloat16)})
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.mark.parametrize("quantise", [by_block, by_row, by_tensor])
def test_the_line_names_the_command_and_its_numbers_are_those_meant(tmp_path, cli, quantise):
    folders, meant = {}, {}
    for seed, name in enumerate(("base", "step-1")):
        tensors, meant[name] = quantise(weights(seed))
        folders[name] = quantised(tmp_path / name, tensors)
    factors = ["factors", "--rank", 8, "--out", tmp_path / "f.safetensors"]
    error = cli(*factors, "--base", folders["base"], "--checkpoint", folders["step-1"]).error
    assert "its codes alone are not the weights; dequantise it" in error
    for name, folder in folders.items():
        command = error.split("`")[1].replace(str(folders["base"]), str(folder))
        done = cli(*shlex.split(command.replace("OUT", str(tmp_path / f"plain-{name}")))[1:])
        assert done.status == 0, done.err
        made = load_file(tmp_path / f"plain-{name}" / "model.safetensors")
        assert set(made) == {UP, NORM}
        assert made[NORM].dtype == torch.bfloat16
        np.testing.assert_allclose(made[UP].double(), meant[name], rtol=1e-7)
        config = json.loads((tmp_path / f"plain-{name}" / "config.json").read_text())
        assert config == {"model_type": "x"}
    plain = [tmp_path / f"plain-{name}" for name in folders]
    assert cli(*factors, "--base", plain[0], "--checkpoint", plain[1]).status == 0
    norm = float(load_file(tmp_path / "f.safetensors")[f"{UP}/norm"])
    assert norm == pytest.approx(np.linalg.norm(meant["step-1"] - meant["base"]), rel=1e-6)


def test_a_model_is_replaced_only_when_asked(tmp_path, cli):
    tensors, meant = by_row(weights(0))
    folder = quantised(tmp_path / "base", tensors)
    out = quantised(tmp_path / "out", tensors)
    assert "found what the command reads" in cli("unpack", folder, "--out", folder).error
    assert "exists already" in cli("unpack", folder, "--out", out).error
    assert cli("unpack", folder, "--out", out, "--replace").status == 0
    np.testing.assert_allclose(load_file(out / "model.safetensors")[UP].double(), meant, 1e-7)


def spoiled(tensors: Tensors, change: str) -> Tensors:
    scales = next(name for name in tensors if "_scale" in name)
    if change == "too few scales":
        return {**tensors, scales: torch.ones(2, 3)}
    if change == "a scale of NaN":
        return {**tensors, scales: tensors[scales] * float("nan")}
    if change == "a zero point":
        return {**tensors, f"{UP}_zero_point": torch.zeros(10, 1, dtype=torch.int8)}
    if change == "packed codes too":
        return {**tensors, "model.layers.0.mlp.down_proj.qweight": torch.ones(2, 2).int()}
    return {UP: torch.ones(10, 8)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("too few scales", r"has shape [2, 3], expected a scale for each block of [4, 3] of [10, "),
        ("a scale of NaN", f"{UP} holds 80 values that are not finite"),
        ("a zero point", "found no 8-bit weights with scales"),
        ("packed codes too", "down_proj.qweight is I32"),
        ("plain weights", "found no 8-bit weights with scales, expected a quantised model"),
    ],
)
def test_what_is_not_simple_is_refused(tmp_path, cli, change, message):
    folder = quantised(tmp_path / "base", spoiled(by_block(weights(0))[0], change))
    assert message in cli("unpack", folder, "--out", tmp_path / "out").error
    assert [path.name for path in tmp_path.iterdir()] == ["base"]
