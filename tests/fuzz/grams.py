"""Mutated grams: what is read is what the format's own library reads of the same file.

A mutant is spoiled in its bytes, with its seal as it was or made again; or changed in an array, or
in what it says of itself, and sealed again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from alpharl import Trajectory
from alpharl.spectra.gram import Gram, read_gram
from safetensors.numpy import load_file

from tests.bad_inputs.made import READERS
from tests.fuzz.rounds import Kind
from tests.fuzz.seals import about, mutate_arrays, require_unmoved

FILE = "made/gram.safetensors"
PATTERN = "run/step-{step}"


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


KIND = Kind(
    "grams", lambda rng: mutate_arrays(rng, FILE), _read, _check, {FILE: [*READERS[FILE].values()]},
    lenient=frozenset({"truth"}),  # reads the matrices that a forecast changes
)  # fmt: skip
