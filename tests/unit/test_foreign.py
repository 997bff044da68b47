"""Checkpoints in other layouts are named, by whoever meets them, with a command that works."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from alpharl.checkpoints.foreign import foreign_at
from alpharl.checkpoints.index import read_index
from alpharl.errors import CheckpointError
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

LAYOUTS = {
    "checkpoint-10/zero_to_fp32.py": (
        "DeepSpeed's shards",
        "python {}/zero_to_fp32.py {} OUT --safe_serialization",
    ),
    "checkpoint-10/global_step10/mp_rank_00_model_states.pt": (
        "DeepSpeed's shards",
        "python -m deepspeed.utils.zero_to_fp32 {} OUT --safe_serialization --tag global_step10",
    ),
    "checkpoint-10/iter_0000010/mp_rank_00/model_optim_rng.pt": (
        "Megatron's shards",
        "python examples/conversion/convert_checkpoints.py export --hf-model BASE "
        "--megatron-path {} --hf-path OUT",
    ),
    "checkpoint-10/pytorch_model_fsdp_0/__0_0.distcp": (
        "FSDP's shards",
        "accelerate merge-weights {}/pytorch_model_fsdp_0 OUT",
    ),
    "checkpoint-10/policy/weights/__0_0.distcp": (
        "shards of torch.distributed.checkpoint",
        "python -m torch.distributed.checkpoint.format_utils dcp_to_torch {}/policy/weights OUT.pt",
    ),
    "checkpoint-10/small.gguf": ("small.gguf", "alpharl unpack {}/small.gguf --out OUT"),
}  # fmt: skip


@pytest.mark.parametrize("file", LAYOUTS)
def test_other_layouts_are_told_by_their_names(cli, tmp_path, trajectory, file):
    what, command = LAYOUTS[file]
    path, folder = tmp_path / "run" / file, tmp_path / "run" / "checkpoint-10"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    base = trajectory.base
    calls = [
        ["gram", "--base", base, "--checkpoints", f"10={folder}", "--out", tmp_path / "out"],
        ["manifest", "--checkpoint", folder, "--step", 10, "--out", tmp_path / "out"],
        ["init", tmp_path / "run", "--base", base, "--out", tmp_path / "out"],
    ]
    for call in calls:
        error = cli(*call).error
        assert f"{folder}: found {what}, expected" in error
        assert f"`{command.format(folder, folder)}`" in error
    # The checkpoint's own folder holds steps too, where it names its shards by them.
    inside = cli("init", folder, "--base", base, "--out", tmp_path / "out").error
    assert f"found {what}, expected" in inside
    assert not (tmp_path / "out").exists()


def test_what_nobody_knows_is_named_by_its_file(tmp_path):
    (tmp_path / "consolidated.safetensors").write_bytes(b"")
    assert foreign_at(tmp_path) is None
    with pytest.raises(CheckpointError, match=r"found consolidated\.safetensors, expected model"):
        read_index(tmp_path)


def save_bin(model: LlamaForCausalLM, folder: Path) -> Path:
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


def save_fsdp(model: LlamaForCausalLM, folder: Path) -> Path:
    writer = dcp.FileSystemWriter(folder / "pytorch_model_fsdp_0")
    dcp.save({"model": model.state_dict()}, storage_writer=writer, no_dist=True)
    return folder / "OUT"


@pytest.mark.parametrize("save", [save_bin, save_fsdp])
def test_the_command_that_is_named_makes_a_model(
    tmp_path: Path, save: Callable[[LlamaForCausalLM, Path], Path]
):
    config = LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    model, folder = LlamaForCausalLM(config), tmp_path / "step 10"
    folder.mkdir()
    config.save_pretrained(folder)
    out = save(model, folder)
    with pytest.raises(CheckpointError) as error:
        read_index(folder)
    command = shlex.split(str(error.value).split("`")[1])
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    read = load_file(out / "model.safetensors")
    assert set(read) == set(read_index(out).tensors) == set(model.state_dict())
    assert all(torch.equal(read[name], value) for name, value in model.state_dict().items())


def test_the_command_for_an_adapter_makes_one(tmp_path):
    saved = {"base_model.model.q_proj.lora_A.weight": torch.randn(4, 2).T}
    torch.save(saved, tmp_path / "adapter_model.bin")
    adapter = foreign_at(tmp_path)
    assert adapter
    assert adapter.what == "adapter_model.bin"
    done = subprocess.run(shlex.split(adapter.advice.split("`")[1]), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (read,) = load_file(tmp_path / "adapter_model.safetensors").values()
    assert torch.equal(read, torch.cat([*saved.values()]))
