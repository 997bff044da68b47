"""Gram matrices: per tensor, the inner products between the updates of a run's checkpoints.

G[i, j] = <W(t_i) - W(0), W(t_j) - W(0)>, from float32 updates while all checkpoints stream past
once, so that no delta is ever stored. Products of short blocks are summed in float32, where that is
exact to 1e-7 of the block, and the blocks in float64. All temporal analysis (RELEX, lines,
random-walk nulls) and every norm of a blend follows from these T x T numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alpharl.checkpoints.files import write_arrays
from alpharl.checkpoints.index import read_config, require_same_tensors
from alpharl.errors import MethodError
from alpharl.spectra.lowrank import read_arrays
from alpharl.spectra.scope import shard, split

if TYPE_CHECKING:
    from torch import Tensor

    from alpharl.checkpoints.reader import ModelReader
    from alpharl.checkpoints.stream import Span, Streamer

BLOCK = 1024
"""Elements whose products are summed in float32."""
CHUNK = 320 << 10
"""Elements of all checkpoints together that a thread holds at a time: a core's cache of float32."""


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

    A tensor that holds several matrices (fused projections, stacked experts) gets a gram for each
    of them beside its own, which is their sum.

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
    from alpharl.checkpoints.stream import Span, streamer

    steps, device, found = sorted(checkpoints), best_device(), dict[str, np.ndarray]()
    with ExitStack() as stack:
        before = stack.enter_context(ModelReader(base, device))
        runs = [stack.enter_context(ModelReader(checkpoints[s], device)) for s in steps]
        for reader in runs:
            require_same_tensors(before.index, reader.index)
        stream, config = stack.enter_context(streamer(device)), read_config(base)
        names = shard(before.index.tensors.values(), *part)
        for done, name in enumerate(names, start=1):
            info = before.index.tensors[name]
            inside = {m.name: Span(name, m.start, m.size) for m in split(info, config)}
            inside = inside if len(inside) > 1 else {name: Span(name, 0, info.size)}
            own = {key: _gram_span(stream, [before, *runs], span) for key, span in inside.items()}
            found |= own | {name: np.sum(list(own.values()), axis=0)}
            progress(f"{done}/{len(names)} {name}")
    return Gram(steps, found)


def _gram_span(stream: Streamer, readers: list[ModelReader], span: Span) -> np.ndarray:
    """Inner products (T, T) of one span's updates; the base is the first of the readers."""
    import torch

    from alpharl.checkpoints.reader import refuse_not_finite
    from alpharl.checkpoints.stream import GPU_CHUNK

    count = len(readers) - 1
    most = CHUNK if stream.device == "cpu" else GPU_CHUNK
    size = BLOCK * max(1, most // (BLOCK * count))

    def use(chunk: Span, read: Callable[[int], Tensor]) -> Tensor:
        # Whole blocks, so that one batched product serves them all; zeros add nothing.
        length = BLOCK * -(-chunk.count // BLOCK)
        delta_td = stream.scratch("delta", count, length)
        delta_td[:, chunk.count :] = 0
        delta = delta_td[:, : chunk.count]
        origin = stream.scratch("origin", chunk.count).copy_(read(0))
        for i in range(count):
            delta[i].copy_(read(i + 1))
        delta.sub_(origin)
        blocks = delta_td.view(count, -1, BLOCK).transpose(0, 1)
        return torch.bmm(blocks, blocks.transpose(1, 2)).double().sum(0)

    total = torch.zeros(count, count, dtype=torch.float64, device=stream.device)
    for product in stream.each(readers, span, size, use):
        total += product
    if not torch.isfinite(total).all():
        refuse_not_finite(readers, span.tensor)
    array: np.ndarray = ((total + total.T) / 2).cpu().numpy()
    return array


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
