"""verl's unmerged shards: told by their names with the command that merges them, never opened."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.verl import backend_of, shards_at
from alpharl.errors import CheckpointError
from safetensors.torch import load_file

VERL = Path(__file__).parents[2] / ".venv-verl"
"""An environment with verl, if someone has made one."""


@pytest.fixture
def shards(tmp_path) -> Path:
    """The folder of FSDP shards of a step; what is in them does not matter."""
    actor = tmp_path / "global_step_7" / "actor"
    (actor / "huggingface").mkdir(parents=True)
    (actor / "huggingface" / "config.json").write_text("{}")
    (actor / "fsdp_config.json").write_text('{"world_size": 2}')
    for rank in range(2):
        (actor / f"model_world_size_2_rank_{rank}.pt").write_bytes(b"")
        (actor / f"optim_world_size_2_rank_{rank}.pt").write_bytes(b"")
    return actor


@pytest.mark.parametrize("below", ["", "actor", "actor/huggingface"])
def test_wherever_a_checkpoint_is_read_its_shards_are_named(shards, below):
    with pytest.raises(CheckpointError) as error:
        read_index(shards.parent / below)
    text = str(error.value)
    assert "\n" not in text
    assert "found verl's unmerged fsdp shards" in text
    command = text.split("`")[1]
    assert shlex.split(command) == [
        "python", "-m", "verl.model_merger", "merge", "--backend", "fsdp",
        "--local_dir", str(shards), "--target_dir", str(shards / "huggingface"),
    ]  # fmt: skip


def test_megatron_s_layouts(tmp_path):
    for place in ("new/model/dist_ckpt", "old/dist_ckpt"):
        (tmp_path / place).mkdir(parents=True)
        assert backend_of(tmp_path / place.partition("/")[0]) == "megatron"


def test_a_merged_folder_is_a_model(shards, write_model):
    write_model(shards / "huggingface", {"a.weight": torch.ones(2, 2)})
    assert list(read_index(shards / "huggingface").tensors) == ["a.weight"]
    assert shards_at(shards / "huggingface") == shards


def merge(cli, tmp_path, environment, checkpoint):
    return cli("merge", "--environment", environment, "--checkpoint", checkpoint,
               "--out", tmp_path / "model", "--record", tmp_path / "model.json")  # fmt: skip


def test_an_environment_without_verl_is_told(cli, tmp_path, shards):
    assert "found no bin/python" in merge(cli, tmp_path, tmp_path, shards).error
    error = merge(cli, tmp_path, sys.prefix, shards.parent).error
    assert "verl's merger failed" in error
    assert "No module named" in error
    assert f"--backend fsdp --local_dir {shards}" in error
    assert not (tmp_path / "model").exists()
    assert "found no shards of verl's" in merge(cli, tmp_path, sys.prefix, tmp_path).error


def test_check_misses_shards_before_anything_runs(cli, tmp_path, shards, trajectory):
    tasks = {role: [{"task": "addition", "split": role}] for role in ("validation", "test")}
    study = {
        "study": "s", "results": str(tmp_path / "results"),
        "bases": {"b": {"path": str(trajectory.base)}},
        "runs": {"r": {
            "base": "b", "steps": [7], "merge": {"environment": sys.prefix},
            "checkpoints": str(tmp_path / "global_step_{step}"),
        }},
        "suites": {role: {"role": role, "tasks": tasks[role]} for role in tasks},
    }  # fmt: skip
    (tmp_path / "s.yaml").write_text(json.dumps(study))
    done = cli("check", tmp_path / "s.yaml")
    assert done.status == 0, done.err
    assert "merged by verl" in done.out
    study["runs"]["r"]["steps"] = [7, 8]
    (tmp_path / "s.yaml").write_text(json.dumps(study))
    assert "global_step_8: found no shards of verl's" in cli("check", tmp_path / "s.yaml").error


SAVE = """
import json, os, sys
from pathlib import Path
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from transformers import AutoModelForCausalLM
rank, model, out, store = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("fsdp",))
state = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).state_dict()
sharded = {n: distribute_tensor(t.detach(), mesh, [Shard(0)]) for n, t in state.items()}
torch.save(sharded, out / f"model_world_size_2_rank_{rank}.pt")
dist.destroy_process_group()
"""


def test_an_adapter_that_verl_does_not_merge_is_told(cli, tmp_path, shards):
    """Its merger writes the base's weights, and the adapter below them."""
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nmkdir -p "$9/lora_adapter" && touch "$9/model.safetensors"\n')
    python.chmod(0o755)
    error = merge(cli, tmp_path, tmp_path / "environment", shards.parent).error
    assert "puts the training into lora_adapter/, expected a merged model" in error
    assert [path.name for path in tmp_path.glob("*model*")] == []


@pytest.mark.skipif(not VERL.is_dir(), reason="found no .venv-verl beside the checkout")
def test_verl_merges_what_two_processes_saved(cli, tmp_path, shards):
    """Real FSDP shards, by DTensors of two processes, and verl's real merger."""
    from tests.unit.test_adapter import save_base

    base = save_base(tmp_path / "base")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (shards / "huggingface" / name).write_bytes((base / name).read_bytes())
    started = [
        subprocess.Popen([sys.executable, "-c", SAVE, str(rank), base, shards, tmp_path / "store"])
        for rank in range(2)
    ]
    assert [process.wait() for process in started] == [0, 0]
    done = merge(cli, tmp_path, VERL, shards.parent)
    assert done.status == 0, done.err
    merged, own = (load_file(f / "model.safetensors") for f in (tmp_path / "model", base))
    assert set(merged) == set(own)
    for name, tensor in own.items():
        # verl's merger rounds float32 shards.
        assert torch.equal(merged[name], tensor.to(torch.bfloat16))
    assert json.loads((tmp_path / "model.json").read_text())["command"][:2] == [
        "-m", "verl.model_merger"
    ]  # fmt: skip
