"""Kurtosis of updates: whether a few entries move far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from alpharl.measures.measure import Measure, Row, TensorPath

if TYPE_CHECKING:
    import pandas as pd


class Kurtosis(Measure):
    """Excess kurtosis of each tensor's update entries, next to that of a Gaussian draw."""

    version = 1
    operations = 10
    columns = {"kurtosis": "excess kurtosis"}
    nulls = {"kurtosis": "null_kurtosis"}
    null_name = "Gaussian"
    title = "Tails of the updates"
    text = "Excess kurtosis of the entries, mean over tensors."
    null = "If the entries were independent Gaussians, their excess kurtosis would be near 0."
    bessel: bool = False
    """An option without effect."""

    def rows(self, tensor: TensorPath) -> Iterator[Row]:
        """The last step's update."""
        shape = (tensor.size,)
        before = tensor.base.part(tensor.name, 0, shape).double().numpy()
        for step, reader in tensor.checkpoints.items():
            update = reader.part(tensor.name, 0, shape).double().numpy() - before
            rng = np.random.default_rng([self.seed, *tensor.name.encode()])
            drawn = rng.standard_normal(tensor.size)
            numbers = {"kurtosis": _excess(update), "null_kurtosis": _excess(drawn)}
            yield {"step": step, "tensor": tensor.name, "entries": tensor.size, **numbers}

    def summary(self, table: pd.DataFrame) -> pd.DataFrame:
        """Means over tensors."""
        return table.drop(columns=["tensor", "entries"]).groupby("step", as_index=False).mean()


def _excess(values: np.ndarray) -> float:
    centred = values - values.mean()
    variance = np.mean(centred**2)
    return float(np.mean(centred**4) / variance**2 - 3) if variance else float("nan")
