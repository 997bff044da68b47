"""What verl saves before its shards are merged: found by names, never opened. Torch-free.

verl's shards are pickles. Its own merger, run where verl is installed, turns them into a model
folder; nothing here reads them. Layouts as in verl 0.9.1 (its `model_merger`, `utils/checkpoint`):

    global_step_N/actor/model_world_size_W_rank_R.pt, fsdp_config.json, huggingface/   FSDP
    global_step_N/actor/model/dist_ckpt/, model/huggingface/                           Megatron
    global_step_N/actor/dist_ckpt/, huggingface/                                Megatron, before 0.9
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from alpharl.checkpoints.files import write_record
from alpharl.errors import CheckpointError
from alpharl.partials import partial_folder


def backend_of(folder: Path) -> str | None:
    """`fsdp` or `megatron` where the folder holds a model's unmerged shards, else None."""
    if any(folder.glob("model_world_size_*_rank_*.pt")):
        return "fsdp"
    if (folder / "model" / "dist_ckpt").is_dir() or (folder / "dist_ckpt").is_dir():
        return "megatron"
    return None


def shards_at(folder: Path) -> Path | None:
    """The folder of unmerged shards that a checkpoint folder is, holds, or lies beside its config.

    A step's own folder stands above them, and its `huggingface` below.
    """
    below = [folder.parent] if folder.name == "huggingface" else []
    folders = [folder, folder / "actor", *below]
    return next((path for path in folders if backend_of(path)), None)


def merge_command(python: str, shards: Path, out: Path) -> list[str]:
    """The command of verl's own merger.

    Raises:
        CheckpointError: there are no shards of verl's in the folder.
    """
    backend = backend_of(shards)
    if backend is None:
        raise CheckpointError(
            f"{shards}: found no shards of verl's, expected model_world_size_W_rank_R.pt or "
            "dist_ckpt; name the folder that holds them, such as global_step_N/actor"
        )
    return [
        python, "-m", "verl.model_merger", "merge", "--backend", backend,
        "--local_dir", str(shards), "--target_dir", str(out),
    ]  # fmt: skip


def require_environment(environment: Path) -> Path:
    """The interpreter of the environment that verl is installed in.

    Raises:
        CheckpointError: there is none.
    """
    python = environment.absolute() / "bin" / "python"
    if not python.exists():
        raise CheckpointError(
            f"{environment}: found no bin/python, expected a virtual environment with verl in it; "
            "correct the run's 'merge.environment'"
        )
    return python


def merge(environment: Path, checkpoint: Path, out: Path, record: Path) -> None:
    """Have verl merge a checkpoint's shards into a model folder, and write what was run.

    verl unpickles the shards, in its own process, and rounds FSDP weights to bfloat16.

    Raises:
        CheckpointError: no shards, no verl in the environment, its merger failed, or it merged
            nothing, as with LoRA.
    """
    shards = shards_at(checkpoint)
    python = require_environment(environment)
    with partial_folder(out) as partial:
        command = merge_command(str(python), shards or checkpoint, partial)
        _merge(command, checkpoint, partial)
    # The command without the interpreter: what was run, wherever verl lies.
    write_record(record, {"checkpoint": str(checkpoint), "command": [*command[1:-1], str(out)]})


def _merge(command: list[str], checkpoint: Path, target: Path) -> None:
    # Packages of this process are not verl's.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr.strip().splitlines() or ["no words"])[-1][:300]
        raise CheckpointError(
            f"{checkpoint}: verl's merger failed ({words}); run it by hand: {' '.join(command)}"
        )
    if (target / "lora_adapter").is_dir():
        raise CheckpointError(
            f"{checkpoint}: verl's merger leaves the base's weights as they are and puts the "
            f"training into lora_adapter/, expected a merged model; run {' '.join(command)} by "
            "hand, set lora_alpha in its adapter_config.json, and name lora_adapter as checkpoint"
        )
