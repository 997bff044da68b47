"""Streaming reads: byte ranges by name, upcast to float32, never a whole model.

Plain positioned reads instead of a memory map: on a shared file system a map turns into a storm of
page-sized requests, and its pages count as the process's memory.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NoReturn, Self

import torch
from torch import Tensor

from alpharl.checkpoints.adapter import LowRankUpdate, MergedIndex, read_model
from alpharl.checkpoints.finite import not_finite
from alpharl.checkpoints.header import TensorInfo
from alpharl.checkpoints.index import ModelIndex
from alpharl.checkpoints.open_files import OpenFiles
from alpharl.checkpoints.stamps import stamps
from alpharl.checkpoints.tied import require_equal
from alpharl.checkpoints.vocabulary import ResizedIndex
from alpharl.errors import CheckpointError

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip


_FILES = OpenFiles()
_PAIRS = 4
"""Matrices whose A and B a reader of an adapter keeps, beside one for each thread."""


class ModelReader:
    """Tensors of one model folder by name, for several threads.

    A LoRA adapter is read as the model that it makes of its base, merged in float32 as far as it
    is asked for. A context manager.
    """

    def __init__(self, folder: Path, device: str = "cpu", base: Path | None = None) -> None:
        """Index a folder.

        Args:
            folder: of a model, or of an adapter.
            device: where tensors are put.
            base: model folder that an adapter is on.

        Raises:
            CheckpointError: as `read_model`, or a tied head that is stored is another matrix than
                the embedding.
        """
        self.index: ModelIndex = read_model(folder, base)
        require_equal(folder, self.index.tied)
        self._updates = self.index.updates if isinstance(self.index, MergedIndex) else {}
        self._completed = self.index.completed if isinstance(self.index, ResizedIndex) else {}
        self._pair = lru_cache(_PAIRS + torch.get_num_threads())(self._read_pair)
        self.device = device

    def __enter__(self) -> Self:
        self._before = stamps(self.index.folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close the files.

        Raises:
            CheckpointError: they have changed meanwhile, so that what was read is of two models.
        """
        _FILES.close(self.index.folder)
        if kind is None and stamps(self.index.folder) != self._before:
            raise CheckpointError(
                f"{self.index.folder}: found that its weights changed while they were read, "
                "expected them to stay; run it again when nobody writes there"
            )

    def info(self, name: str) -> TensorInfo:
        """Where a tensor lies."""
        return self.index.tensors[name]

    def read(self, info: TensorInfo, start: int, buffer: Tensor) -> Tensor:
        """Elements from `start` on, as many as the uint8 buffer holds, in their stored dtype.

        Args:
            info: of the tensor, from `info`.
            start: first element.
            buffer: contiguous uint8 memory, of whole elements; the result is a view of it.

        Raises:
            CheckpointError: the file ends before them.
        """
        if update := self._updates.get(info.name):
            return self._merged(update, start, buffer)
        if halves := self._completed.get(info.name):
            return self._joined(*halves, start, buffer)
        return self._raw(info, start, buffer)

    def _joined(self, own: TensorInfo, rest: TensorInfo, start: int, buffer: Tensor) -> Tensor:
        """The same of a tensor that ends sooner than another one, which goes on for it."""
        out = buffer.view(torch.float32)
        count = min(max(0, own.size - start), out.numel())
        self._convert(own, start, out[:count])
        self._convert(rest, start + count, out[count:])
        return out

    def _convert(self, info: TensorInfo, start: int, out: Tensor) -> None:
        """Fill `out` with elements in float32."""
        raw = torch.empty(out.numel() * DTYPES[info.dtype].itemsize, dtype=torch.uint8)
        out.copy_(self._raw(info, start, raw))

    def _merged(self, update: LowRankUpdate, start: int, buffer: Tensor) -> Tensor:
        """The same of W + scale B A: of the product only the rows that hold the elements."""
        out, origin = buffer.view(torch.float32), update.origin
        count, columns = out.numel(), origin.shape[1]
        self._convert(origin, start, out)
        left_mr, right_rn = self._pair(origin.name)
        first, last = start // columns, -(-(start + count) // columns)
        product = (left_mr[first:last] @ right_rn).view(-1)
        at = start - first * columns
        return out.add_(product[at : at + count], alpha=update.scale)

    def _read_pair(self, name: str) -> tuple[Tensor, Tensor]:
        """The factors (m, r) and (r, n) of what is added to a tensor, in float32."""
        update = self._updates[name]
        with (self.index.folder / update.a.file).open("rb") as file:
            a, b = (self._small(file, info) for info in (update.a, update.b))
        return (a.T.contiguous(), b.T.contiguous()) if update.transposed else (b, a)

    def _small(self, file: BinaryIO, info: TensorInfo) -> Tensor:
        file.seek(info.start)
        data = torch.frombuffer(bytearray(file.read(info.nbytes)), dtype=DTYPES[info.dtype])
        return data.view(info.shape).to(torch.float32)

    def _raw(self, info: TensorInfo, start: int, buffer: Tensor) -> Tensor:
        """Elements as they are stored."""
        dtype, path = DTYPES[info.dtype], self.index.folder / info.file
        at, view = info.start + start * dtype.itemsize, buffer.numpy().data
        with _FILES.descriptor(path) as descriptor:
            while view:
                count = os.preadv(descriptor, [view], at)
                if count == 0:
                    raise CheckpointError(f"{path}: ends within {info.name}; copy it again")
                at, view = at + count, view[count:]
        return buffer.view(dtype)

    def will_need(self, name: str, start: int, count: int) -> None:
        """Ask the system to read these elements into its page cache meanwhile."""
        info = self.index.tensors[name]
        size = info.nbytes // max(1, info.size)
        descriptor = os.open(self.index.folder / info.file, os.O_RDONLY)
        try:
            at, length = info.start + start * size, count * size
            os.posix_fadvise(descriptor, at, length, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(descriptor)

    def stored(self, name: str) -> Tensor:
        """The tensor in its stored dtype, on the reader's device."""
        return self.part(name, 0, self.info(name).shape)

    def part(self, name: str, start: int, shape: tuple[int, ...]) -> Tensor:
        """Consecutive elements of a tensor in their stored dtype, on the reader's device.

        Args:
            name: the tensor.
            start: first element.
            shape: that they get.
        """
        info = self.info(name)
        size = math.prod(shape) * DTYPES[info.dtype].itemsize
        buffer = torch.empty(size, dtype=torch.uint8)
        return self.read(info, start, buffer).view(shape).to(self.device)

    def float32(self, name: str) -> Tensor:
        """The tensor in float32, on the reader's device.

        Raises:
            CheckpointError: it holds a NaN or an infinity.
        """
        tensor = self.stored(name).to(torch.float32)
        bad = count_not_finite(tensor)
        if bad:
            raise not_finite(self.index.folder, name, bad)
        return tensor


def count_not_finite(tensor: Tensor) -> int:
    """Number of entries of a tensor that are NaN or infinity."""
    wide = tensor if tensor.dtype == torch.float64 else tensor.to(torch.float32)
    # The sum is finite only if every entry is, unless finite entries overflow it: then look.
    return 0 if torch.isfinite(wide.sum()) else int((~torch.isfinite(wide)).sum())


def refuse_not_finite(readers: Sequence[ModelReader], name: str) -> NoReturn:
    """Name the model whose tensor is not finite; for use once a result turned out not to be.

    Raises:
        CheckpointError: one of them holds a NaN or an infinity; or their finite numbers are so
            large that what is computed of them is not.
    """
    largest = max(float(reader.float32(name).abs().max()) for reader in readers)
    folders = " and ".join(str(reader.index.folder) for reader in readers[:2])
    raise CheckpointError(
        f"{folders}: {name} holds values of up to {largest:.1e}, expected weights whose updates "
        "and products float32 can hold; the checkpoint is broken, leave it out or save it again"
    )


def best_device() -> str:
    """`cuda` when the job sees a GPU, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"
