"""Sizes and times of a model folder's files: equal ones mean that nobody wrote there since."""

from __future__ import annotations

from pathlib import Path

from alpharl.checkpoints.index import ADAPTER_CONFIG

Stamps = dict[str, tuple[int, int]]
"""Size in bytes, and time of the last change in ns, of each file by name."""


def stamps(folder: Path) -> Stamps:
    """Size and time of each weight file, and of an adapter's config; none where they are gone."""
    files = sorted(
        path for path in (folder.iterdir() if folder.is_dir() else [])
        if path.suffix == ".safetensors" or path.name == ADAPTER_CONFIG
    )  # fmt: skip
    found = {path.name: path.stat() for path in files}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}
