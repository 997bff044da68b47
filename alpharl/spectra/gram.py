"""Gram matrices: per tensor, the inner products between the updates of a run's checkpoints.

G[i, j] = <W(t_i) - W(0), W(t_j) - W(0)>, from float32 updates while all checkpoints stream past
once, so that no delta is ever stored. Products of short blocks are summed in float32, where that is
exact to 1e-7 of the block, and the blocks in float64. All temporal analysis (RELEX, lines,
random-walk nulls) and every norm of a blend follows from these T x T numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from alpharl.checkpoints.array_files import write_arrays
from alpharl.checkpoints.fit import require_same_tensors
from alpharl.checkpoints.identity import MadeFrom, read_made_from, require_one
from alpharl.checkpoints.index import read_config
from alpharl.errors import MethodError, not_as_written
from alpharl.progress import SILENT, Progress
from alpharl.spectra import GRAM_VERSION
from alpharl.spectra.lowrank import read_made
from alpharl.spectra.scope import shard, split

if TYPE_CHECKING:
    from torch import Tensor

    from alpharl.checkpoints.reader import ModelReader
    from alpharl.checkpoints.stream import Read, Span, Streamer

PIECE = 1 << 17
"""Elements that a thread reads of each checkpoint at a time: 256 KiB of bfloat16."""
CHUNK = 320 << 10
"""Elements of all checkpoints together that it computes on at a time: a core's cache of float32."""
MAKER = "alpharl gram"
_SQUARE = TypeAdapter[float | None](
    Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] | None
)
BLOCK = 1024
"""Elements whose products are summed in float32."""


@dataclass(frozen=True)
class Gram:
    """Per tensor name a (T, T) float64 matrix; `steps` (T,) are the optimizer steps."""

    steps: list[int]
    tensors: dict[str, np.ndarray]
    base_square: float | None = None
    """Squared norm of the base's weights; None where it is not known."""
    made_from: MadeFrom | None = None
    """The models that it is of, where it was read from a file."""
    name: str = "gram"
    """What errors call it: the first of the files that it was read from."""

    def __repr__(self) -> str:
        """Its size: the numbers of a model would fill screens."""
        return f"Gram(steps={self.steps}, tensors={len(self.tensors)})"

    def total(self, names: Iterable[str]) -> np.ndarray:
        """Inner products (T, T) of the named tensors' updates, taken together.

        A tensor that holds several matrices stands here whole and by part: name one or the other.
        """
        total: np.ndarray = np.sum([self.tensors[name] for name in names], axis=0)
        return total

    def upto(self, steps: list[int]) -> Gram:
        """Only the given steps, as a window sees them.

        Raises:
            MethodError: the gram lacks one of them.
        """
        missing = [step for step in steps if step not in self.steps]
        if missing:
            raise MethodError(
                f"{self.name}: holds steps {self.steps}, expected {missing} among them; make it "
                "again over all observed checkpoints"
            )
        keep = np.array([self.steps.index(step) for step in steps])
        kept = {name: g[np.ix_(keep, keep)] for name, g in self.tensors.items()}
        return replace(self, steps=steps, tensors=kept)


def gram_run(
    base: Path,
    checkpoints: dict[int, Path],
    part: tuple[int, int] = (0, 1),
    progress: Progress = SILENT,
) -> Gram:
    """Gram of every tensor (scope `all`) of a run, or of one of its shards.

    A tensor that holds several matrices (fused projections, stacked experts) gets a gram for each
    of them next to its own, which is their sum.

    Args:
        base: model folder of step 0.
        checkpoints: model folder of each step.
        part: (index, count) of the shard.
        progress: told of each tensor.

    Raises:
        CheckpointError: a missing folder, other tensors than the base, or a value not finite.
    """
    return extend_gram(Gram([], {}), base, checkpoints, part, progress)


def extend_gram(
    gram: Gram,
    base: Path,
    checkpoints: dict[int, Path],
    part: tuple[int, int] = (0, 1),
    progress: Progress = SILENT,
) -> Gram:
    """The gram with a row and a column for each checkpoint after its last one.

    All checkpoints are read, for the new products need them all; those that the gram holds are not
    computed again. The result is `gram_run`'s, but for the rounding of products in float32.

    Args:
        gram: of the first checkpoints, maybe of none.
        base: model folder of step 0.
        checkpoints: model folder of each step, also of those that the gram holds.
        part: (index, count) of the shard, which must be the gram's.
        progress: told of each tensor.

    Raises:
        CheckpointError: as `gram_run`.
        MethodError: the gram's steps are not the first of these, or it is of another model.
    """
    # Torch only here: forecasts read grams and must start fast.
    from alpharl.checkpoints.reader import ModelReader, best_device
    from alpharl.checkpoints.stream import Span, streamer

    steps, device, tensors = sorted(checkpoints), best_device(), dict[str, np.ndarray]()
    first, square = len(gram.steps), 0.0
    if steps[:first] != gram.steps:
        raise MethodError(
            f"{gram.name}: holds steps {gram.steps}, expected the first of {steps}; make it anew"
        )
    with ExitStack() as stack:
        before = stack.enter_context(ModelReader(base, device))
        runs = [stack.enter_context(ModelReader(checkpoints[s], device, base)) for s in steps]
        for reader in runs:
            require_same_tensors(before.index, reader.index)
        stream, config = stack.enter_context(streamer(device)), read_config(base)
        names = shard(before.index.tensors.values(), *part)
        coming = stream.announced(
            names, [before, *runs], lambda name: Span(name, 0, before.index.tensors[name].size)
        )
        for done, name in enumerate(coming, start=1):
            info = before.index.tensors[name]
            inside = {m.name: Span(name, m.start, m.size) for m in split(info, config)}
            inside = inside if len(inside) > 1 else {name: Span(name, 0, info.size)}
            products = {}
            for key, span in inside.items():
                rows_nt, of_base = _gram_rows(stream, [before, *runs], span, first)
                products[key], square = _joined(gram, key, rows_nt), square + of_base
            tensors |= products | {name: np.sum(list(products.values()), axis=0)}
            progress.step("gram", done, len(names), name)
    return Gram(steps, tensors, square if math.isfinite(square) else None)


def _joined(gram: Gram, name: str, rows_nt: np.ndarray) -> np.ndarray:
    """A tensor's matrix (T, T), from what the gram holds of it and the last N rows."""
    count, first = rows_nt.shape[1], len(gram.steps)
    if first and name not in gram.tensors:
        raise MethodError(
            f"{gram.name}: lacks {name}, expected all tensors of the model; make it anew"
        )
    new, total = rows_nt[:, first:], np.empty((count, count))
    if first:
        total[:first, :first] = gram.tensors[name]
    total[first:, :first], total[:first, first:] = rows_nt[:, :first], rows_nt[:, :first].T
    total[first:, first:] = (new + new.T) / 2
    return total


def _gram_rows(
    stream: Streamer, readers: list[ModelReader], span: Span, first: int
) -> tuple[np.ndarray, float]:
    """Inner products (N, T) of a span's updates from the `first` on with all of its T updates.

    The base is the first of the readers; the squared norm of its span comes second.
    """
    import torch

    from alpharl.checkpoints.reader import refuse_not_finite
    from alpharl.checkpoints.stream import GPU_CHUNK

    count, gpu = len(readers) - 1, stream.device != "cpu"
    width = BLOCK * max(1, (GPU_CHUNK if gpu else CHUNK) // (BLOCK * count))

    def use(chunk: Span, read: Read) -> tuple[Tensor, Tensor]:
        rows, origin = _rows(stream, readers, chunk, read), read(0).float()
        delta_td = stream.scratch("delta", count, width)
        # Blocks of few elements, so that one batched product serves them all.
        blocks = delta_td.view(count, -1, BLOCK).transpose(0, 1)
        total = torch.zeros(count - first, count, dtype=torch.float64, device=stream.device)
        for at in range(0, chunk.count, width):
            size = min(width, chunk.count - at)
            if size < width:
                delta_td.zero_()
            delta = delta_td[:, :size]
            delta.copy_(rows[:, at : at + size]).sub_(origin[at : at + size])
            products = torch.bmm(blocks[:, first:], blocks.transpose(1, 2))
            total += products.sum(0, dtype=torch.float64)
        return total, torch.dot(origin, origin).double()

    totals, squares = zip(*stream.each(readers, span, width if gpu else PIECE, use), strict=True)
    total = torch.stack(totals).sum(0)
    if not torch.isfinite(total).all():
        refuse_not_finite(readers, span.tensor)
    return total.cpu().numpy(), float(torch.stack(squares).sum())


def _rows(stream: Streamer, readers: list[ModelReader], chunk: Span, read: Read) -> Tensor:
    """The chunk of all checkpoints as rows, in their dtype, or in float32 where they differ."""
    import torch

    from alpharl.checkpoints.reader import DTYPES

    dtypes = {DTYPES[reader.info(chunk.tensor).dtype] for reader in readers[1:]}
    if len(dtypes) > 1:
        rows = stream.scratch("rows", len(readers) - 1, chunk.count)
        for i, row in enumerate(rows, start=1):
            row.copy_(read(i))
        return rows
    (dtype,) = dtypes
    raw = stream.scratch(
        "raws", len(readers) - 1, chunk.count * dtype.itemsize, dtype=torch.uint8
    )  # fmt: skip
    for i, row in enumerate(raw, start=1):
        read(i, row)
    return raw.view(dtype).to(stream.device)


def write_gram(
    gram: Gram, out: Path, models: MadeFrom, part: tuple[int, int] = (0, 1), **more: Any
) -> None:
    """Write a gram file: `<name>` (T, T) float64 and `steps` (T,) int64.

    Args:
        gram: of all steps.
        out: the file.
        models: that it was made from.
        part: (index, count) of the shard.
        more: what else its metadata hold.
    """
    arrays = {"steps": np.asarray(gram.steps, np.int64), **gram.tensors}
    about = {"version": GRAM_VERSION, "from": models, "shard": part}
    write_arrays(out, arrays, {**about, "base_square": gram.base_square, **more})


def read_gram(paths: Sequence[Path]) -> Gram:
    """All tensors' gram matrices of a run, from its shards, of which there is at least one.

    Raises:
        CheckpointError: a shard is missing.
        ArtefactError: a shard is not as it was written, of another version, or of other models
            than the first; or holds what no gram is.
    """
    shards = [_read_shard(path) for path in paths]
    models = require_one([shard.made_from for shard in shards if shard.made_from], paths, MAKER)
    tensors = {name: array for shard in shards for name, array in shard.tensors.items()}
    squares = [shard.base_square for shard in shards if shard.base_square is not None]
    square = sum(squares) if len(squares) == len(shards) else None
    return Gram(shards[-1].steps, tensors, square, models, str(paths[0]))


def _read_shard(path: Path) -> Gram:
    """What one file of a gram holds.

    Raises:
        ArtefactError: as `read_gram`.
    """
    arrays, about = read_made(path, MAKER)
    models = read_made_from(about, GRAM_VERSION, path, MAKER)
    steps, stored = sorted(models["checkpoints"]), arrays.pop("steps", np.array([]))
    if stored.dtype != np.int64 or stored.tolist() != steps:
        raise not_as_written(path, f"found other steps than {steps}, which it was made from", MAKER)
    try:
        square = _SQUARE.validate_python(about.get("base_square", ""))
    except ValidationError:
        raise not_as_written(path, "found a base_square that is no number", MAKER) from None
    strange = [name for name, array in arrays.items() if not _is_gram(array, len(steps))]
    if strange:
        raise not_as_written(path, f"found no inner products under '{strange[0]}'", MAKER)
    return Gram(steps, arrays, square, models)


def _is_gram(array: np.ndarray, count: int) -> bool:
    """Whether an array may hold inner products: (T, T), symmetric, squares on the diagonal."""
    fits = array.dtype == np.float64 and array.shape == (count, count)
    return fits and np.array_equal(array, array.T) and bool((np.diag(array) >= 0).all())
