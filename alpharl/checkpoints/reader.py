"""Streaming reads: one tensor at a time, in float32, never a whole model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from safetensors import safe_open
from torch import Tensor

from alpharl.checkpoints.index import ModelIndex, read_index, require_same_tensors
from alpharl.errors import CheckpointError


class ModelReader:
    """Tensors of one model folder by name. A context manager; at most one file is open."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.index: ModelIndex = read_index(folder)
        self._device = device
        self._name = ""
        self._open: Any = None

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
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open, self._name = None, ""

    def _file(self, name: str) -> Any:
        """The file that holds a tensor; another open file is closed first."""
        file = self.index.tensors[name].file
        if file != self._name:
            self.close()
            path = str(self.index.folder / file)
            opened: Any = safe_open(path, framework="pt", device=self._device)
            self._open, self._name = opened.__enter__(), file
        return self._open

    def stored(self, name: str) -> Tensor:
        """The tensor in its stored dtype, on the reader's device."""
        tensor: Tensor = self._file(name).get_tensor(name)
        return tensor

    def float32(self, name: str, rows: slice | None = None) -> Tensor:
        """The tensor in float32, or only some of its rows.

        Raises:
            CheckpointError: it holds a NaN or an infinity.
        """
        stored = self.stored(name) if rows is None else self._file(name).get_slice(name)[rows]
        tensor = stored.to(torch.float32)
        # The sum is finite only if every entry is, unless finite entries overflow it: then look.
        if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            raise CheckpointError(
                f"{self.index.folder}: {name} holds {bad} values that are not finite (NaN or "
                "infinity); the checkpoint is broken, leave it out or save it again"
            )
        return tensor


def updates(
    base: ModelReader, checkpoint: ModelReader, names: list[str]
) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, W(step) - W(0)) in float32, one tensor at a time, in the order of `names`.

    Raises:
        CheckpointError: other tensors than the base, or a value that is not finite.
    """
    require_same_tensors(base.index, checkpoint.index)
    for name in names:
        yield name, checkpoint.float32(name) - base.float32(name)


def best_device() -> str:
    """`cuda` when the job sees a GPU, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"
