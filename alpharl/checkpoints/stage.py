"""Copies of weight files on a faster disk, for as long as a job needs them. Torch-free."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from alpharl.checkpoints.adapter import is_adapter
from alpharl.checkpoints.index import ADAPTER, ADAPTER_CONFIG, INDEX, read_stored
from alpharl.errors import CheckpointError
from alpharl.scratch import scratch

Key = TypeVar("Key")


@contextmanager
def staged(folders: Mapping[Key, Path], on: str | None) -> Iterator[dict[Key, Path]]:
    """The model folders by key, copied to another disk while the context lasts.

    Args:
        folders: model folders.
        on: folder on the other disk, in which `$NAME` stands for an environment variable; None
            leaves the models where they are.

    Raises:
        CheckpointError: the variable is not set, or the disk has not enough room.
    """
    if on is None:
        yield dict(folders)
        return
    disk = os.path.expandvars(on)
    if "$" in disk or not Path(disk).is_dir():
        raise CheckpointError(f"stage {on}: found no such folder here; set the variable or make it")
    wanted = sum(_size(folder) for folder in folders.values())
    free = shutil.disk_usage(disk).free
    if free < wanted:
        raise CheckpointError(
            f"stage {disk}: found {free >> 20} MiB free, expected {wanted >> 20} MiB for "
            f"{len(folders)} models; use more shards of fewer checkpoints, or do not stage"
        )
    with scratch("stage", disk) as temporary:
        copies = {key: temporary / str(i) for i, key in enumerate(folders)}
        for key, folder in folders.items():
            _copy(folder, copies[key])
        yield copies


def _size(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in _files(folder))


def _files(folder: Path) -> list[str]:
    """Names of the files that hold the weights; an adapter's base is a model of its own here."""
    return [ADAPTER, ADAPTER_CONFIG] if is_adapter(folder) else read_stored(folder).files


def _copy(folder: Path, target: Path) -> None:
    """Weights, their index and the config: what streaming reads."""
    target.mkdir()
    for name in [*_files(folder), INDEX, "config.json"]:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
