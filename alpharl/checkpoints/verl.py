"""What verl saves before its shards are merged: found by names, never opened. Torch-free.

verl's shards are pickles. Its own merger, run where verl is installed, turns them into a model
folder; nothing here reads them. Layouts as in verl 0.9.1 (its `model_merger`, `utils/checkpoint`):

    global_step_N/actor/model_world_size_W_rank_R.pt, fsdp_config.json, huggingface/   FSDP
    global_step_N/actor/model/dist_ckpt/, model/huggingface/                           Megatron
    global_step_N/actor/dist_ckpt/, huggingface/                                Megatron, before 0.9
"""

from __future__ import annotations

from pathlib import Path

from alpharl.errors import CheckpointError


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
    places = [folder, folder / "actor", *below]
    return next((place for place in places if backend_of(place)), None)


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
