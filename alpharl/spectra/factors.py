"""Factors of updates: top-k SVD of every matrix in scope, streamed over checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alpharl.checkpoints.array_files import ArrayFile
from alpharl.checkpoints.fit import require_same_tensors
from alpharl.checkpoints.identity import MadeFrom, require_unchanged
from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.reader import ModelReader, best_device
from alpharl.checkpoints.stream import Span, Streamer, load_update, streamer
from alpharl.progress import SILENT, Progress
from alpharl.spectra import svd
from alpharl.spectra.depth import Depth
from alpharl.spectra.lowrank import Factors, LowRank, about_factors
from alpharl.spectra.scope import Matrix, Scope, matrices, shard

SMALL = 8 << 20
"""Elements of a matrix that is factored next to others: 32 MiB in float32."""
_ROOM_PER_MATRIX = 16
"""Bytes of a matrix's method in the metadata, at least."""


@dataclass(frozen=True)
class Settings:
    """What is factored, and how deep."""

    depth: Depth
    scope: Scope = "paper"
    part: tuple[int, int] = (0, 1)
    """(index, count) of the shard."""
    spectrum: bool = False
    """All singular values too; costs a Gram matrix and its eigenvalues each."""

    def matrices(self, base: Path) -> list[Matrix]:
        """The shard's matrices, in file order."""
        scope = matrices(read_index(base), self.scope)
        return [scope[name] for name in shard(scope.values(), *self.part)]


def factor_update(delta_mn: Tensor, rank: int, spectrum: bool = False) -> Factors:
    """Factors of one update (m, n), float32, with its Frobenius norm summed in float64."""
    norm = float(torch.linalg.vector_norm(delta_mn, dtype=torch.float64))
    return _factors(delta_mn, svd.top_k(delta_mn, rank, norm=norm), norm, spectrum)


def iterate_factors(
    base: Path,
    checkpoints: Mapping[int, Path],
    settings: Settings,
    progress: Progress = SILENT,
) -> Iterator[tuple[int, str, Factors]]:
    """Yield (step, matrix, factors), matrix by matrix, the steps of each in increasing order.

    One float32 matrix is in memory at a time. The base is read once for all steps, as far as the
    system's cache holds a matrix, and a step's right vectors start the next one's iteration.

    Raises:
        CheckpointError: a missing folder, other tensors than the base, or a value not finite.
    """
    device, steps = best_device(), sorted(checkpoints)
    todo = settings.matrices(base)
    with ExitStack() as stack:
        before = stack.enter_context(ModelReader(base, device))
        after = {s: stack.enter_context(ModelReader(checkpoints[s], device, base)) for s in steps}
        for reader in after.values():
            require_same_tensors(before.index, reader.index)
        stream = stack.enter_context(streamer(device))
        work = _Work(stream, before, after, settings)
        done = 0
        for matrix, by_step in work.run(todo):
            for step, factors in by_step.items():
                done += 1
                item = (
                    f"step {step} {matrix.name} norm {factors.norm:.3g} {factors.method} "
                    f"residual {factors.residual.max(initial=0):.1e}"
                )
                progress.step("factors", done, len(todo) * len(steps), item)
                yield step, matrix.name, factors


@dataclass(frozen=True)
class _Work:
    """Factors one matrix after another, or several small ones at once."""

    stream: Streamer
    before: ModelReader
    after: Mapping[int, ModelReader]
    settings: Settings

    def run(self, todo: list[Matrix]) -> Iterator[tuple[Matrix, dict[int, Factors]]]:
        """Factors of each matrix at each step, in order.

        A small matrix keeps one core busy, and its many short operations keep no two: as many are
        factored at once as there are cores. On a GPU, or where a matrix is large, one at a time.
        """
        alone = self.stream.device != "cpu"
        coming = self.stream.announced(todo, [self.before, *self.after.values()], _span)
        for small, group in groupby(coming, lambda m: not alone and m.size <= SMALL):
            if small:
                yield from self.stream.ahead(group, self.one)
            else:
                yield from ((matrix, self.one(matrix)) for matrix in group)

    def one(self, matrix: Matrix) -> dict[int, Factors]:
        """Factors of one matrix at each step; its float32 memory is all that is held."""
        delta = self.stream.scratch("update", matrix.rows, matrix.columns)
        depth, span = self.settings.depth.of(*matrix.shape), _span(matrix)
        by_step, start = dict[int, Factors](), None
        for step, reader in self.after.items():
            norm = load_update(self.stream, self.before, reader, span, delta) ** 0.5
            triplets = svd.top_k(delta, depth, start, norm)
            by_step[step] = _factors(delta, triplets, norm, self.settings.spectrum)
            start = triplets.v
        return by_step


def factor_checkpoint(
    base: Path, checkpoint: Path, settings: Settings, progress: Progress = SILENT
) -> dict[str, Factors]:
    """Factors of one checkpoint by matrix, in memory.

    Raises:
        CheckpointError: as `iterate_factors`.
    """
    return {
        name: factors
        for _, name, factors in iterate_factors(base, {0: checkpoint}, settings, progress)
    }


def write_factors(
    base: Path,
    checkpoints: Mapping[int, Path],
    settings: Settings,
    out: Mapping[int, Path],
    models: MadeFrom,
    progress: Progress = SILENT,
) -> None:
    """Factor checkpoints into a file each, float32: `<name>/u`, `/s`, `/v`, `/norm`, `/residual`.

    The file's metadata name the method that was chosen for each matrix.

    Args:
        base: model folder of step 0.
        checkpoints: model folder of each step.
        settings: what is factored.
        out: the file of each step.
        models: that they are made from.
        progress: told of each matrix and step.

    Raises:
        CheckpointError: as `iterate_factors`.
    """
    shapes = _layout(settings, base)
    about = {
        step: about_factors(models, step, settings.depth, settings.scope, settings.part)
        for step in checkpoints
    }
    room = {s: len(str(about[s])) + _ROOM_PER_MATRIX * len(shapes) + 4096 for s in checkpoints}
    files = dict[int, ArrayFile]()
    methods: dict[int, dict[str, list[str]]] = {step: {} for step in checkpoints}
    with ExitStack() as discarding:
        for step in checkpoints:
            files[step] = ArrayFile(out[step], shapes, room[step])
            discarding.callback(files[step].discard)
        for step, name, factors in iterate_factors(base, checkpoints, settings, progress):
            for key, array in factors.arrays().items():
                files[step].write(f"{name}/{key}", array)
            methods[step].setdefault(factors.method, []).append(name)
        require_unchanged(models)
        for step, file in files.items():
            file.finish({**about[step], "methods": methods[step]})


def _layout(settings: Settings, base: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every array of a factor file."""
    shapes: dict[str, tuple[int, ...]] = {}
    for matrix in settings.matrices(base):
        (m, n), k = matrix.shape, settings.depth.of(*matrix.shape)
        arrays = {"u": (m, k), "s": (k,), "v": (n, k), "residual": (k,), "norm": ()}
        arrays |= {"spectrum": (min(m, n),)} if settings.spectrum else {}
        shapes |= {f"{matrix.name}/{key}": shape for key, shape in arrays.items()}
    return shapes


def _span(matrix: Matrix) -> Span:
    return Span(matrix.tensor, matrix.start, matrix.size)


def _factors(delta_mn: Tensor, triplets: svd.Triplets, norm: float, spectrum: bool) -> Factors:
    u, s, v, residual = (x.cpu().numpy() for x in triplets[:4])
    values: np.ndarray | None = svd.spectrum(delta_mn).cpu().numpy() if spectrum else None
    return Factors(LowRank(u, s, v), norm, residual, triplets.method, values)
