"""What files of two runs of the same commands have to have in common: all but times."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import safe_open

_TIMES = {"seconds", "seal", "stamps", "step_seconds"}
"""Keys of JSON whose values differ from run to run."""
_WEIGHTS = ".safetensors"


def contents(folder: Path) -> dict[str, object]:
    """Contents of the results in a folder by name, without lists of digests and of answers."""
    paths = folder.rglob("*") if folder.is_dir() else ()
    files = [path for path in sorted(paths) if path.is_file()]
    return {str(path.relative_to(folder)): content(path) for path in files if _lasts(path)}


def content(path: Path) -> object:
    """A file's content, without the times of the weights that it was made from."""
    if path.suffix == _WEIGHTS:
        return _tensors(path)
    if path.suffix == ".json":
        with suppress(ValueError):  # a half-written one
            return _timeless(json.loads(path.read_bytes()))
    if path.suffix == ".csv":
        with suppress(ValueError):
            table = pd.read_csv(path)
            times = [name for name in table.columns if "seconds" in name]
            return table.drop(columns=times).to_csv()
    return path.read_bytes()


def _lasts(path: Path) -> bool:
    """Whether it is a result, and not what follows from others or is gone on with."""
    names = {".resume", ".rows.jsonl", ".lock"}
    return path.suffix not in {".sha256", ".jsonl", ".pid"} and not names & {*path.parts}


def _timeless(data: object) -> object:
    if isinstance(data, list):
        return [_timeless(value) for value in data]
    if not isinstance(data, dict):
        return data
    # Weights are known by size and time.
    sizes = {key: value[0] for key, value in data.items() if _is_stamp(key, value)}
    return {k: _timeless(v) for k, v in data.items() if k not in _TIMES} | sizes


def _is_stamp(key: str, value: object) -> bool:
    return key.endswith(_WEIGHTS) and isinstance(value, list)


def _tensors(path: Path) -> object:
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            if "alpharl" not in metadata:
                return path.read_bytes()
            about = json.loads(metadata["alpharl"])
            arrays = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118
    except Exception:  # no whole one
        return path.read_bytes()
    models = about.pop("from")
    about.pop("seal")
    return arrays, about, [_model(m) for m in (models["base"], *models["checkpoints"].values())]


def _model(told: dict[str, Any]) -> object:
    """Which model it is, wherever it lies: by its digest, or by the sizes of its files."""
    return told.get("digest") or {name: size for name, (size, _) in told["files"].items()}
