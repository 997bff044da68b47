"""Streaming reads: byte ranges by name, upcast to float32, never a whole model.

Plain positioned reads instead of a memory map: on a shared file system a map turns into a storm of
page-sized requests, and its pages count as the process's memory.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from alpharl.checkpoints.index import ModelIndex, TensorInfo, read_index
from alpharl.errors import CheckpointError

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip


class ModelReader:
    """Tensors of one model folder by name. A context manager; at most one file is open."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.index: ModelIndex = read_index(folder)
        self.device = device
        self._file, self._descriptor = "", -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the open file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._file, self._descriptor = "", -1

    def open(self, name: str) -> TensorInfo:
        """Open the file that holds a tensor; `read` may then be called from several threads.

        Raises:
            CheckpointError: the tensor's dtype is none that can be read.
        """
        info = self.index.tensors[name]
        if info.dtype not in DTYPES:
            raise CheckpointError(
                f"{self.index.folder}: {name} has dtype {info.dtype}, expected one of "
                f"{', '.join(DTYPES)}; convert the model"
            )
        if info.file != self._file:
            self.close()
            self._descriptor = os.open(self.index.folder / info.file, os.O_RDONLY)
            self._file = info.file
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        return info

    def read(self, info: TensorInfo, start: int, buffer: Tensor) -> Tensor:
        """Elements from `start` on, as many as the uint8 buffer holds, in their stored dtype.

        Args:
            info: what `open` returned, with nothing else opened since.
            start: first element.
            buffer: contiguous uint8 memory, of whole elements; the result is a view of it.

        Raises:
            CheckpointError: the file ends before them.
        """
        dtype = DTYPES[info.dtype]
        at, view = info.start + start * dtype.itemsize, buffer.numpy().data
        while view:
            count = os.preadv(self._descriptor, [view], at)
            if count == 0:
                raise CheckpointError(
                    f"{self.index.folder / info.file}: ends within {info.name}; copy it again"
                )
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
        info = self.open(name)
        return self.part(name, 0, info.shape)

    def part(self, name: str, start: int, shape: tuple[int, ...]) -> Tensor:
        """Consecutive elements of a tensor in their stored dtype, on the reader's device.

        Args:
            name: the tensor.
            start: first element.
            shape: that they get.
        """
        info = self.open(name)
        size = math.prod(shape) * DTYPES[info.dtype].itemsize
        buffer = torch.empty(size, dtype=torch.uint8)
        return self.read(info, start, buffer).view(shape).to(self.device)

    def float32(self, name: str) -> Tensor:
        """The tensor in float32, on the reader's device.

        Raises:
            CheckpointError: it holds a NaN or an infinity.
        """
        tensor = self.stored(name).to(torch.float32)
        # The sum is finite only if every entry is, unless finite entries overflow it: then look.
        if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            raise CheckpointError(
                f"{self.index.folder}: {name} holds {bad} values that are not finite (NaN or "
                "infinity); the checkpoint is broken, leave it out or save it again"
            )
        return tensor


def refuse_not_finite(readers: Sequence[ModelReader], name: str) -> None:
    """Name the model whose tensor is not finite; for use once a result turned out not to be.

    Raises:
        CheckpointError: one of them holds a NaN or an infinity.
    """
    for reader in readers:
        reader.float32(name)


def best_device() -> str:
    """`cuda` when the job sees a GPU, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"
