"""Gram matrices: per tensor, the inner products between the updates of a run's checkpoints.

G[i, j] = <W(t_i) - W(0), W(t_j) - W(0)>, summed in float64 from float32 updates while rows stream
in, so that no delta is ever stored. All temporal analysis (RELEX, lines, random-walk nulls) and
every norm of a blend follows from these T x T numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alpharl.checkpoints.files import write_arrays
from alpharl.checkpoints.index import require_same_tensors
from alpharl.errors import MethodError
from alpharl.spectra.lowrank import read_arrays
from alpharl.spectra.scope import shard

if TYPE_CHECKING:
    from alpharl.checkpoints.reader import ModelReader

CHUNK_BYTES = 256 << 20
"""Float32 bytes of all checkpoints' rows that are held at a time."""


@dataclass(frozen=True)
class Gram:
    """Per tensor name a (T, T) float64 matrix; `steps` (T,) are the optimizer steps."""

    steps: list[int]
    tensors: dict[str, np.ndarray]

    def upto(self, steps: list[int]) -> Gram:
        """Only the given steps, as a window sees them.

        Raises:
            MethodError: the gram lacks one of them.
        """
        missing = [step for step in steps if step not in self.steps]
        if missing:
            raise MethodError(
                f"gram: holds steps {self.steps}, expected {missing} among them; make it again "
                "over all observed checkpoints"
            )
        keep = np.array([self.steps.index(step) for step in steps])
        return Gram(steps, {name: g[np.ix_(keep, keep)] for name, g in self.tensors.items()})


def gram_run(
    base: Path,
    checkpoints: dict[int, Path],
    part: tuple[int, int] = (0, 1),
    progress: Callable[[str], None] = lambda line: None,
) -> Gram:
    """Gram of every tensor (scope `all`) of a run, or of one of its shards.

    Args:
        base: model folder of step 0.
        checkpoints: model folder of each step.
        part: (index, count) of the shard.
        progress: called with a line per tensor.

    Raises:
        CheckpointError: a missing folder, other tensors than the base, or a value not finite.
    """
    # Torch only here: forecasts read grams and must start fast.
    from alpharl.checkpoints.reader import ModelReader, best_device

    steps, device = sorted(checkpoints), best_device()
    with ExitStack() as stack:
        before = stack.enter_context(ModelReader(base, device))
        runs = [stack.enter_context(ModelReader(checkpoints[s], device)) for s in steps]
        for reader in runs:
            require_same_tensors(before.index, reader.index)
        names = shard(before.index, list(before.index.tensors), *part)
        found = {}
        for done, name in enumerate(names, start=1):
            found[name] = _gram_tensor(before, runs, name)
            progress(f"{done}/{len(names)} {name}")
    return Gram(steps, found)


def _gram_tensor(base: ModelReader, runs: list[ModelReader], name: str) -> np.ndarray:
    import torch

    shape = base.index.tensors[name].shape
    per_row = 4 * len(runs) * max(1, int(np.prod(shape[1:])))
    rows = max(1, CHUNK_BYTES // per_row)
    total = torch.zeros(len(runs), len(runs), dtype=torch.float64)
    starts = range(0, shape[0], rows) if shape else [0]
    for start in starts:
        chunk = slice(start, min(start + rows, shape[0])) if shape else None
        origin = base.float32(name, chunk)
        delta_td = torch.stack([(r.float32(name, chunk) - origin).flatten() for r in runs]).double()
        total += (delta_td @ delta_td.T).cpu()
    array: np.ndarray = total.numpy()
    symmetric: np.ndarray = (array + array.T) / 2
    return symmetric


def write_gram(gram: Gram, out: Path, metadata: object) -> None:
    """Write a gram file: `<name>` (T, T) float64 and `steps` (T,) int64."""
    arrays = {"steps": np.asarray(gram.steps, np.int64), **gram.tensors}
    write_arrays(out, arrays, metadata)


def read_gram(paths: Iterable[Path]) -> Gram:
    """All tensors' gram matrices of a run, from its shards.

    Raises:
        CheckpointError: a shard is missing.
    """
    steps: list[int] = []
    tensors: dict[str, np.ndarray] = {}
    for path in paths:
        arrays = read_arrays(path)
        steps = [int(step) for step in arrays.pop("steps")]
        tensors |= arrays
    return Gram(steps, tensors)
