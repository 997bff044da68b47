"""Mutated factors: what is read is what the format's own library reads of the same file.

Mutants are made as those of grams are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from alpharl import Trajectory
from alpharl.checkpoints.identity import MadeFrom
from alpharl.spectra.lowrank import Factors, factors_made_from, read_factors
from safetensors.numpy import load_file

from tests.bad_inputs.made import READERS
from tests.fuzz.grams import PATTERN
from tests.fuzz.rounds import Kind
from tests.fuzz.seals import about, mutate_arrays, require_unmoved

FILE, STEP = "made/factors/step-30.safetensors", 30


Read = tuple[dict[str, Factors], dict[str, Factors], MadeFrom | None, Trajectory]


def _read(file: str) -> Read:
    factors, models = read_factors([Path(file)]), factors_made_from([Path(file)])
    pattern = file.replace(str(STEP), "{step}")
    run = Trajectory.open("base", PATTERN, factors=pattern, progress=False)
    return factors, run.factors(1, [STEP])[STEP], models, run


def _check(file: str, read: Read) -> None:
    stored, told = load_file(file), about(Path(file))
    factors, of_run, models, run = read
    _compare(factors, stored)
    _compare(of_run, stored)
    assert models
    assert models["base"]["files"] == _pairs(told["from"]["base"]["files"])
    require_unmoved(told["from"]["base"]["files"], run.base)
    (checkpoint,) = told["from"]["checkpoints"].values()
    require_unmoved(checkpoint["files"], run.checkpoints[STEP])
    shapes = {name: array.shape for name, array in load_file("base/model.safetensors").items()}
    for name, one in of_run.items():
        found = len(one.low.u), len(one.low.v)
        assert shapes.get(name, found) == found, f"{name}: {found}, the model has {shapes[name]}"


def _compare(factors: dict[str, Factors], stored: dict[str, np.ndarray]) -> None:
    read = {
        f"{name}/{key}": np.asarray(array)
        for name, one in factors.items()
        for key, array in one.arrays().items()
    }
    assert read.keys() == stored.keys(), sorted(read.keys() ^ stored.keys())[:3]
    for key, array in read.items():
        assert np.array_equal(array, stored[key]), f"{key}: other numbers"
        assert stored[key].dtype == np.float32 and np.isfinite(array).all(), key
    for name, one in factors.items():
        (m, k), (n, other) = one.low.u.shape, one.low.v.shape
        assert 0 < k == other <= min(m, n) and one.low.s.shape == one.residual.shape == (k,), name
        assert one.norm >= 0 and (one.low.s >= 0).all(), f"{name}: a negative norm"


def _pairs(files: dict[str, list[int]]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(stamp) for name, stamp in files.items()}


KIND = Kind(
    "factors",
    lambda rng: mutate_arrays(rng, FILE),
    _read,
    _check,
    {FILE: [*READERS[FILE].values()]},
)
