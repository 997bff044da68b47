"""Mutated grams: what is read is what the format's own library reads of the same file.

A mutant is spoiled in its bytes, with its seal as it was or made again, or changed in an array or in
what it says of itself, and sealed again.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
from alpharl import Trajectory
from alpharl.checkpoints.seal import KEY
from alpharl.spectra.gram import Gram, read_gram
from safetensors import safe_open
from safetensors.numpy import load_file

from tests.bad_inputs.made import READERS
from tests.fuzz.mutations import changed, changed_arrays, pack, resealed_bytes, spoiled
from tests.fuzz.rounds import Kind

FILE = "made/gram.safetensors"
PATTERN = "run/step-{step}"


def about(path: Path) -> dict:
    """What a file says of itself, as its own library reads it."""
    with safe_open(path, framework="np") as file:
        told = json.loads(file.metadata()["alpharl"])
    return {key: value for key, value in told.items() if key != KEY}


def mutate_arrays(rng: random.Random, file: str) -> str:
    """Change a sealed file of arrays."""
    path = Path(file)
    data = path.read_bytes()
    way = rng.random()
    if way < 0.35:
        data = spoiled(rng, data)
        path.write_bytes(data if way < 0.1 else resealed_bytes(data))
        return file
    arrays, told = load_file(path), about(path)
    for _ in range(rng.choice([1, 1, 1, 2])):
        if way < 0.75:
            arrays = changed_arrays(rng, arrays)
        else:
            told = changed(rng, told)
    path.write_bytes(pack(arrays, told))
    return file


def _read(file: str) -> tuple[Gram, Trajectory]:
    run = Trajectory.open("base", PATTERN, gram=file, progress=False)
    return read_gram([Path(file)]), run


def _check(file: str, read: tuple[Gram, Trajectory]) -> None:
    gram, run = read
    stored, told = load_file(file), about(Path(file))
    steps = stored.pop("steps").tolist()
    assert gram.steps == steps and sorted(set(steps)) == steps, f"steps {gram.steps}"
    assert gram.base_square == told["base_square"]
    assert gram.tensors.keys() == stored.keys()
    for name, products in gram.tensors.items():
        assert np.array_equal(products, stored[name]), f"{name}: other numbers"
        assert products.dtype == np.float64 and products.shape == (len(steps),) * 2, name
        assert np.isfinite(products).all() and np.array_equal(products, products.T), name
        assert (np.diag(products) >= 0).all(), f"{name}: a negative norm"
    for name in run.tensors:
        part = stored[name][np.ix_(*[[steps.index(step) for step in run.steps]] * 2)]
        assert np.array_equal(run.gram.tensors[name], part), name
    for step, folder in run.checkpoints.items():
        require_unmoved(told["from"]["checkpoints"][str(step)]["files"], folder)
    require_unmoved(told["from"]["base"]["files"], run.base)


def require_unmoved(files: dict, folder: Path) -> None:
    """What a file says of a model's files is how they are."""
    stats = {path.name: path.stat() for path in folder.glob("*.safetensors")}
    now = {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}
    assert files == now, f"{folder}: {files} are not {now}"


KIND = Kind(
    "grams", lambda rng: mutate_arrays(rng, FILE), _read, _check, {FILE: [*READERS[FILE].values()]},
    lenient=frozenset({"truth"}),  # reads the matrices that a forecast changes
)  # fmt: skip
