"""Checkpoints in layouts that are not read here: told by their names, never opened. Torch-free.

Most are pickles, or shards of several processes. Each is named with the command that turns it into
a model folder of safetensors, run where the library that wrote it is installed:

    model_world_size_W_rank_R.pt, dist_ckpt/                verl (`alpharl.checkpoints.verl`)
    zero_to_fp32.py, global_step_N/*_model_states.pt        DeepSpeed
    iter_N/, latest_checkpointed_iteration.txt, mp_rank_*/  Megatron
    .metadata, *.distcp, maybe in pytorch_model_fsdp_0/     torch's DCP; FSDP of accelerate
    pytorch_model*.bin, adapter_model.bin                   transformers and PEFT, before 2023
    *.gguf                                                  llama.cpp
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alpharl.checkpoints.verl import backend_of, merge_command, shards_at

_OUT = "OUT"
"""Stands in a command for the folder to write."""
_SAVE_AGAIN = (
    "import sys; from transformers import AutoModelForCausalLM as M; "
    'M.from_pretrained(sys.argv[1], dtype="auto").save_pretrained(sys.argv[1])'
)
_SAVE_ADAPTER = (
    "import sys, torch; from safetensors.torch import save_file; "
    "w = torch.load(sys.argv[1], weights_only=True); "
    "save_file({k: v.contiguous() for k, v in w.items()}, sys.argv[2])"
)


@dataclass(frozen=True)
class Foreign:
    """A checkpoint in another layout."""

    what: str
    """What was found, as in `found ...`."""
    advice: str
    """What to do, as in `...; ...`."""


def foreign_at(folder: Path) -> Foreign | None:
    """The other layout that a checkpoint folder has; None where none is known."""
    return next(filter(None, (look(folder) for look in _LAYOUTS)), None)


def _verl(folder: Path) -> Foreign | None:
    shards = shards_at(folder)
    if shards is None:
        return None
    command = " ".join(merge_command("python", shards, shards / "huggingface"))
    return Foreign(
        f"verl's unmerged {backend_of(shards)} shards",
        f"run `{command}` where verl is installed and name that folder, or set the run's 'merge'",
    )


def _deepspeed(folder: Path) -> Foreign | None:
    """A folder that DeepSpeed saved a step into, or that step's own folder."""
    states = _first(folder, "*_model_states.pt", "*/*_model_states.pt")
    script = folder / "zero_to_fp32.py"
    if states is None and not script.is_file():
        return None
    home = folder.parent if states and states.parent == folder else folder
    script = home / "zero_to_fp32.py"
    start = [str(script)] if script.is_file() else ["-m", "deepspeed.utils.zero_to_fp32"]
    tag = ["--tag", states.parent.name] if states else []
    command = ["python", *start, str(home), _OUT, "--safe_serialization", *tag]
    return Foreign("DeepSpeed's shards", _run(command, "where deepspeed is installed"))


def _megatron(folder: Path) -> Foreign | None:
    told = ("latest_checkpointed_iteration.txt", "common.pt", "mp_rank_*/model_optim_rng.pt")
    if _first(folder, *told, *(f"iter_*/{name}" for name in told[1:])) is None:
        return None
    command = [
        "python", "examples/conversion/convert_checkpoints.py", "export", "--hf-model", "BASE",
        "--megatron-path", str(folder), "--hf-path", _OUT,
    ]  # fmt: skip
    return Foreign("Megatron's shards", _run(command, "in a checkout of Megatron-Bridge"))


def _distributed(folder: Path) -> Foreign | None:
    shard = _first(folder, "*.distcp", "pytorch_model_fsdp*/*.distcp", "*/*.distcp", "*/*/*.distcp")
    if shard is None:
        return None
    if shard.parent.name.startswith("pytorch_model_fsdp"):
        command = ["accelerate", "merge-weights", str(shard.parent), _OUT]
        return Foreign("FSDP's shards", _run(command))
    module = "torch.distributed.checkpoint.format_utils"
    command = ["python", "-m", module, "dcp_to_torch", str(shard.parent), "OUT.pt"]
    return Foreign(
        "shards of torch.distributed.checkpoint",
        f"run `{shlex.join(command)}`, and save the model's weights in it as safetensors",
    )


def _pickled(folder: Path) -> Foreign | None:
    model, adapter = _first(folder, "pytorch_model*.bin"), folder / "adapter_model.bin"
    if model:
        command = ["python", "-c", _SAVE_AGAIN, str(folder)]
    elif adapter.is_file():
        files = [str(adapter), str(adapter.with_suffix(".safetensors"))]
        command = ["python", "-c", _SAVE_ADAPTER, *files]
    else:
        return None
    what = (model or adapter).name
    return Foreign(what, f"save the model as safetensors with `{shlex.join(command)}`")


def _gguf(folder: Path) -> Foreign | None:
    file = _first(folder, "*.gguf")
    command = ["alpharl", "unpack", str(file), "--out", _OUT]
    return Foreign(file.name, _run(command)) if file else None


_LAYOUTS: list[Callable[[Path], Foreign | None]] = [
    _verl, _deepspeed, _megatron, _distributed, _pickled, _gguf,
]  # fmt: skip
"""The most telling first: Megatron's shards may be DCP's, and DeepSpeed's lie next to a pickle."""


def _first(folder: Path, *patterns: str) -> Path | None:
    """The first path that one of the patterns matches; of those of a pattern, by name."""
    return next((path for pattern in patterns for path in sorted(folder.glob(pattern))), None)


def _run(command: list[str], where: str = "") -> str:
    """Advice to run a command that writes the folder OUT."""
    return f"run `{shlex.join(command)}`{f' {where}' if where else ''} and name the folder OUT"
