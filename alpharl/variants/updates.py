"""Inner products of low-rank matrices with updates that are read from checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from torch import Tensor

from alpharl.checkpoints.fit import require_same_tensors
from alpharl.checkpoints.reader import ModelReader, best_device
from alpharl.checkpoints.stream import Span, load_update, streamer
from alpharl.spectra.scope import Matrix


class Updates:
    """Updates of one matrix at a time, each read once until another matrix is asked for.

    A context manager.
    """

    def __init__(self, base: Path, folders: Mapping[int, Path]) -> None:
        self._stack, self._folders, self._device = ExitStack(), folders, best_device()
        self._origin = base
        self._stream = self._stack.enter_context(streamer(self._device))
        self._base = self._stack.enter_context(ModelReader(base, self._device))
        self._readers: dict[int, ModelReader] = {}
        self._matrix, self._deltas = "", dict[int, Tensor]()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stack.close()

    def inner(self, matrix: Matrix, step: int, b_mr: np.ndarray, a_rn: np.ndarray) -> float:
        """<B A, W(step) - W(0)>, as the sum over B * (update A^T).

        Raises:
            CheckpointError: the step's folder is missing, does not fit the base or is not finite.
        """
        b, a = (torch.from_numpy(x).to(self._device) for x in (b_mr, a_rn))
        return float(((self._update(matrix, step) @ a.T).double() * b.double()).sum())

    def _update(self, matrix: Matrix, step: int) -> Tensor:
        if matrix.name != self._matrix:
            self._matrix, self._deltas = matrix.name, {}
        if step not in self._deltas:
            span = Span(matrix.tensor, matrix.start, matrix.size)
            delta_mn = torch.empty(matrix.shape, device=self._device)
            load_update(self._stream, self._base, self._reader(step), span, delta_mn)
            self._deltas[step] = delta_mn
        return self._deltas[step]

    def _reader(self, step: int) -> ModelReader:
        if step not in self._readers:
            read = ModelReader(self._folders[step], self._device, self._origin)
            reader = self._stack.enter_context(read)
            require_same_tensors(self._base.index, reader.index)
            self._readers[step] = reader
        return self._readers[step]
