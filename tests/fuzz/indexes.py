"""Mutated models of several files: one that is read here holds what its index says and no more."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from alpharl.checkpoints.index import INDEX, read_index
from alpharl.errors import CheckpointError
from safetensors import safe_open
from safetensors.numpy import save_file

Files = dict[str, dict[str, np.ndarray]]
PATHS = [
    "../outside.safetensors", "./a.safetensors", "a.safetensors/", "sub/a.safetensors", "/a", ".",
    "..", "", "b.safetensors", "none.safetensors", "link.safetensors", "a.bin", "a\0.safetensors",
    7, None, [], {},
]  # fmt: skip
"""What an index may name in place of a file; some of them exist."""


def _model(rng: random.Random) -> tuple[Files, dict[str, Any]]:
    """Tensors by file, and the index."""
    files: Files = {"a.safetensors": {}, "b.safetensors": {}}
    for i in range(rng.randint(2, 5)):
        files[rng.choice([*files])][f"t{i}.weight"] = np.ones((i + 1, 2), np.float32)
    weight_map = {name: file for file, tensors in files.items() for name in tensors}
    return files, {"metadata": {"total_size": 0}, "weight_map": weight_map}


def _file(rng: random.Random, files: Files, index: dict[str, Any]) -> None:
    index["weight_map"][rng.choice([*index["weight_map"]])] = rng.choice(PATHS)


def _all_files(rng: random.Random, files: Files, index: dict[str, Any]) -> None:
    old, new = rng.choice([*files]), rng.choice(PATHS)
    weight_map = index["weight_map"]
    index["weight_map"] = {n: new if file == old else file for n, file in weight_map.items()}


def _unnamed(rng: random.Random, files: Files, index: dict[str, Any]) -> None:
    index["weight_map"].pop(rng.choice([*index["weight_map"]]))


def _absent(rng: random.Random, files: Files, index: dict[str, Any]) -> None:
    index["weight_map"][f"t{rng.randint(0, 9)}.weight"] = rng.choice([*files])


def _doubled(rng: random.Random, files: Files, index: dict[str, Any]) -> None:
    files[rng.choice([*files])][f"t{rng.randint(0, 4)}.weight"] = np.zeros((1, 2), np.float32)


def _swapped(rng: random.Random, files: Files, index: dict[str, Any]) -> None:
    files["a.safetensors"], files["b.safetensors"] = files["b.safetensors"], files["a.safetensors"]


def _other(rng: random.Random, files: Files, index: dict[str, Any]) -> None:
    value = rng.choice([None, [], "a", 1, {}, {"a": 1}])
    index[rng.choice(["weight_map", "metadata", "more"])] = value


MUTATIONS: list[Callable[[random.Random, Files, dict[str, Any]], None]] = [
    _file, _all_files, _unnamed, _absent, _doubled, _swapped, _other,
]  # fmt: skip


def _text(rng: random.Random, text: str) -> str:
    at = rng.randint(0, len(text))
    return rng.choice([
        text.replace("}", ', "t0.weight": "b.safetensors"}', 2),
        text[:-1] + ', "weight_map": {"t0.weight": "a.safetensors"}}',
        text[:at], text[:at] + rng.choice('{}[]",:0\\\n') + text[at:], "[" * 100_000, "",
    ])  # fmt: skip


def mutated(seed: int, folder: Path) -> None:
    """Write a model folder, good but for a few mutations, and a file next to it."""
    rng = random.Random(seed)
    files, index = _model(rng)
    for _ in range(rng.choice([0, 1, 1, 1, 2])):
        # An earlier one may have left nothing to change.
        with suppress(AttributeError, TypeError, IndexError):
            rng.choice(MUTATIONS)(rng, files, index)
    text = json.dumps(index)
    (folder / INDEX).write_text(_text(rng, text) if rng.random() < 0.15 else text)
    for file, tensors in files.items():
        if rng.random() < 0.98:
            save_file(tensors, folder / file)
    save_file({"t0.weight": np.ones((1, 2), np.float32)}, folder.parent / "outside.safetensors")
    (folder / "link.safetensors").symlink_to(folder.parent / "outside.safetensors")


def check(seed: int, scratch: Path) -> str:
    """Read one model, and compare with its files and its index as their own readers have them.

    Args:
        seed: of the model.
        scratch: folder to write it to, in place of the last one.

    Returns:
        `accepted` or `refused`.

    Raises:
        AssertionError: the model is read as something else than its index says, or the refusal is
            not one line.
    """
    folder = scratch / "model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mutated(seed, folder)
    try:
        tensors = read_index(folder).tensors
    except CheckpointError as error:
        assert "\n" not in str(error), f"seed {seed}: {error}"
        return "refused"
    pairs = json.loads((folder / INDEX).read_text(), object_pairs_hook=list)
    (weight_map,) = [value for key, value in pairs if key == "weight_map"]
    assert sorted(weight_map) == sorted((n, info.file) for n, info in tensors.items()), seed
    assert len(dict(weight_map)) == len(weight_map), f"seed {seed}: a tensor twice"
    stored = []
    for file in sorted({file for _, file in weight_map}):
        assert (folder / file).resolve().parent == folder.resolve(), f"seed {seed}: outside"
        with safe_open(folder / file, framework="numpy") as opened:
            stored += [(name, file) for name in opened.keys()]  # noqa: SIM118
    assert sorted(stored) == sorted(map(tuple, weight_map)), f"seed {seed}: other tensors"
    return "accepted"
