"""Updates W(step) - W(0) in float32, streamed through the processor's caches.

A tensor is cut into chunks that fit a core's cache; each thread reads a chunk from both models,
subtracts it and sums it up there, so that the only large memory is the update itself. Chunks do not
depend on the number of threads and their sums are added in order: the same bytes come out.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from alpharl.checkpoints.header import TensorInfo
from alpharl.checkpoints.reader import DTYPES, ModelReader, refuse_not_finite

CHUNK = 1 << 18
"""Elements that a thread holds of one model: 1 MiB in float32, half of a core's cache."""
GPU_CHUNK = 1 << 24
"""The same where the numbers go to a GPU: 32 MiB of bfloat16 a copy."""
AHEAD = 128 << 20
"""Bytes that are read into the system's cache before they are asked for, about."""
_LARGEST = torch.finfo(torch.float32).max ** 2
"""Square of the largest norm that a file of factors can hold."""
Item = TypeVar("Item")
Result = TypeVar("Result")


class Read(Protocol):
    """Reads the chunk at hand from the i-th model."""

    def __call__(self, i: int, buffer: Tensor | None = None) -> Tensor:
        """Its elements in stored dtype."""


@dataclass(frozen=True)
class Span:
    """Consecutive elements of a stored tensor."""

    tensor: str
    start: int
    count: int

    def chunks(self, size: int) -> list[Span]:
        """The span cut into spans of at most `size` elements."""
        end = self.start + self.count
        starts = range(self.start, end, size)
        return [Span(self.tensor, at, min(size, end - at)) for at in starts]


class Streamer:
    """Runs functions over chunks or items, in threads that read and compute on one core each."""

    def __init__(self, threads: int, device: str) -> None:
        self._pool = ThreadPoolExecutor(threads, initializer=_one_core)
        self._prefetch = ThreadPoolExecutor(1)
        self._threads, self._local, self.device = threads, threading.local(), device

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)
        self._prefetch.shutdown(cancel_futures=True)

    def each(
        self,
        readers: Sequence[ModelReader],
        span: Span,
        size: int,
        use: Callable[[Span, Read], Result],
    ) -> list[Result]:
        """What `use` returns for each chunk of the span, in the chunks' order.

        Args:
            readers: models that hold the span's tensor.
            span: what to read.
            size: elements of a chunk.
            use: gets the chunk and a function that reads it from the i-th model, in stored dtype,
                into given uint8 memory or into such that is valid until the next call.
        """
        infos = [reader.info(span.tensor) for reader in readers]
        chunks = span.chunks(size)
        # Within one of the threads: on its own core.
        threads = 1 if getattr(self._local, "inside", False) else min(self._threads, len(chunks))

        def work(first: int) -> list[Result]:
            def run(chunk: Span) -> Result:
                def read(i: int, buffer: Tensor | None = None) -> Tensor:
                    return self._read(readers[i], infos[i], chunk, buffer)

                return use(chunk, read)

            return [run(chunk) for chunk in chunks[first::threads]]

        if threads == 1:
            return work(0)
        # One task a thread, since waking the main thread for every chunk costs more than a chunk.
        columns = list(self._pool.map(work, range(threads)))
        return [columns[i % threads][i // threads] for i in range(len(chunks))]

    def ahead(
        self, items: Iterable[Item], use: Callable[[Item], Result]
    ) -> Iterator[tuple[Item, Result]]:
        """Each item and what `use` returns for it, in order; few items are under way at a time."""

        def work(item: Item) -> Result:
            self._local.inside = True
            try:
                return use(item)
            finally:
                self._local.inside = False

        waiting: deque[tuple[Item, Future[Result]]] = deque()
        for item in items:
            waiting.append((item, self._pool.submit(work, item)))
            if len(waiting) > self._threads:
                done, future = waiting.popleft()
                yield done, future.result()
        for done, future in waiting:
            yield done, future.result()

    def announced(
        self, items: Sequence[Item], readers: Sequence[ModelReader], span_of: Callable[[Item], Span]
    ) -> Iterator[Item]:
        """The items in order, while the system reads the next ones' spans into its page cache.

        Args:
            items: what is worked on, in the order of the files.
            readers: models that hold the items' spans.
            span_of: the span of an item.
        """
        told, wanted = 0, 0
        sizes = [span_of(item).count * 2 * len(readers) for item in items]
        for done, item in enumerate(items):
            while told < len(items) and (told <= done + 1 or wanted < AHEAD):
                self._prefetch.submit(_prefetch, readers, span_of(items[told]))
                told, wanted = told + 1, wanted + sizes[told]
            wanted -= sizes[done]
            yield item

    def scratch(self, key: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Memory that belongs to the calling thread and is used again; not cleared."""
        size = math.prod(shape)
        memory = self._local.__dict__.get(key)
        if memory is None or memory.numel() < size:
            pinned = self.device != "cpu" and dtype == torch.uint8
            device = "cpu" if pinned else self.device
            memory = torch.empty(size, dtype=dtype, device=device, pin_memory=pinned)
            self._local.__dict__[key] = memory
        return memory[:size].view(shape)

    def _read(
        self, reader: ModelReader, info: TensorInfo, chunk: Span, buffer: Tensor | None
    ) -> Tensor:
        if buffer is None:
            size = chunk.count * DTYPES[info.dtype].itemsize
            buffer = self.scratch("raw", size, dtype=torch.uint8)
        return reader.read(info, chunk.start, buffer).to(self.device)


@contextmanager
def streamer(device: str) -> Iterator[Streamer]:
    """A streamer with as many threads as torch has; each computes on one core."""
    with closing(Streamer(torch.get_num_threads(), device)) as stream:
        yield stream


def _one_core() -> None:
    torch.set_num_threads(1)


def load_update(
    stream: Streamer, base: ModelReader, checkpoint: ModelReader, span: Span, out: Tensor
) -> float:
    """Fill `out` with W(step) - W(0) of a span, subtracted in float32.

    Args:
        stream: of the readers' device.
        base: the model of step 0.
        checkpoint: the model of the step.
        span: which elements.
        out: float32 memory of as many elements, contiguous.

    Returns:
        The squared Frobenius norm, summed over chunks in float64.

    Raises:
        CheckpointError: one of the two holds a NaN or an infinity there, or numbers so large that
            float32 cannot hold the norm.
    """
    flat = out.view(-1)

    def use(chunk: Span, read: Read) -> float:
        at = chunk.start - span.start
        delta = flat[at : at + chunk.count].copy_(read(0))
        delta.sub_(stream.scratch("base", chunk.count).copy_(read(1)))
        return float(torch.dot(delta, delta))

    squared = sum(stream.each([checkpoint, base], span, chunk_size(stream.device), use))
    # Squares of large entries overflow, of small ones they underflow: look again in float64.
    if not 1e-30 < squared < 1e38:
        squared = float(torch.linalg.vector_norm(out, dtype=torch.float64)) ** 2
    if not squared <= _LARGEST:
        refuse_not_finite([checkpoint, base], span.tensor)
    return squared


def _prefetch(readers: Sequence[ModelReader], span: Span) -> None:
    # On a busy disk the call blocks, so that it has a thread of its own.
    for reader in readers:
        reader.will_need(span.tensor, span.start, span.count)


def chunk_size(device: str) -> int:
    """Elements of a chunk on a device."""
    return CHUNK if device == "cpu" else GPU_CHUNK
