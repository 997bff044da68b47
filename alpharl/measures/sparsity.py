"""Sparsity of updates: which share of a model's entries a checkpoint leaves as they were.

Three definitions, since they answer differently, and beside each its null: what a Gaussian update
of the same size does. How many entries move follows to a large part from the size of the update
and the precision of the storage alone; only what lies above the null says where an update lands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from alpharl.measures.measure import Measure, Row, TensorPath

if TYPE_CHECKING:
    import pandas as pd

DEFINITIONS = {"equal": "equal as stored", "close": "within 1e-5", "bf16": "within 0.1 %"}
NULLS = {name: f"null_{name}" for name in DEFINITIONS}
COLUMNS = ["step", "tensor", "entries", "norm", *DEFINITIONS, "null_norm", *NULLS.values()]
OVERALL = "overall"
"""In place of a tensor's name: all tensors together."""
CHECKPOINTS = 10
"""Checkpoints of a run that are measured, at most."""


class Sparsity(Measure):
    """Share of entries that an update leaves as they were, by three definitions; up to ten steps.

    Columns: step; tensor, last of each step `overall`; `entries`; `norm` of the update; and the
    shares of entries that are `equal` as stored (of whatever two dtypes), `close`:
    |w' - w| <= 1e-5, and `bf16`: |w' - w| <= 1e-3 max(|w|, |w'|). `null_*`: norm and shares where
    independent Gaussian noise is added to the base and the sum is stored in the checkpoint's dtype;
    per tensor of that deviation at which what is stored has the update's norm, about.
    """

    version = 1
    operations = 40
    title = "Sparsity"
    text = (
        "Share of all weights, in scope or not, that the last step leaves as they were: exactly, "
        "as stored; by an absolute tolerance (Mukherjee et al., arXiv 2505.11711); and by one "
        "relative to the weight (arXiv 2511.08567), which in bf16 files means equality. The "
        "answers may be far apart. <em>Gaussian</em>: the same share for independent Gaussian "
        "noise that is stored with the same norm per tensor. As much sparsity as that follows from "
        "the size of the update and the precision of the files; only what lies above it says where "
        "updates land."
    )
    null = (
        "If updates landed on all weights alike, each share would be the Gaussian one below it, "
        "which small updates and coarse storage alone can bring near 1."
    )
    note = "Up to ten checkpoints of each run."
    columns = {"entries": "entries"} | DEFINITIONS
    nulls = NULLS
    null_name = "Gaussian"
    counts = frozenset({"entries"})
    compared = {name: f"unchanged: {words}" for name, words in DEFINITIONS.items()}

    def steps(self, saved: Sequence[int]) -> list[int]:
        """Up to ten checkpoints, evenly spaced, the last among them.

        Sparsity changes slowly, and every checkpoint more is read once more from end to end.
        """
        count = min(len(saved), CHECKPOINTS)
        return [saved[-(-len(saved) * i // count) - 1] for i in range(1, count + 1)]

    def rows(self, tensor: TensorPath) -> Iterator[Row]:
        """Counts of unchanged entries and squared norms at each step."""
        from alpharl.checkpoints.stream import Span
        from alpharl.measures.unchanged import count_unchanged

        span, after = Span(tensor.name, 0, tensor.size), list(tensor.checkpoints.values())
        counted = count_unchanged(tensor.stream, tensor.base, after, span, self.seed)
        for s, step in enumerate(tensor.checkpoints):
            yield {
                **{"step": step, "tensor": tensor.name, "entries": tensor.size},
                "norm": counted.squared_s[s],
                "null_norm": counted.null_squared_s[s],
                **dict(zip(DEFINITIONS, counted.same_sd[s].tolist(), strict=True)),
                **dict(zip(NULLS.values(), counted.null_sd[s].tolist(), strict=True)),
            }

    def table(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Shares and norms per step and tensor, and over all tensors of a step."""
        import pandas as pd

        steps = rows["step"].unique()
        by_tensor = {c: rows[c].to_numpy().reshape(-1, len(steps)) for c in COLUMNS[2:]}
        sums = {column: values_ts.sum(0) for column, values_ts in by_tensor.items()}
        whole = pd.DataFrame({"step": steps, "tensor": OVERALL, **sums})
        counts = pd.concat([rows, whole], ignore_index=True)
        shares = counts[[*NULLS, *NULLS.values()]].div(counts["entries"], axis=0)
        counts[shares.columns] = shares
        counts[["norm", "null_norm"]] = np.sqrt(counts[["norm", "null_norm"]])
        return counts.sort_values("step", kind="stable")[COLUMNS].reset_index(drop=True)

    def summary(self, table: pd.DataFrame) -> pd.DataFrame:
        """All tensors together at each step."""
        whole = table[table["tensor"] == OVERALL].drop(columns="tensor")
        return whole.reset_index(drop=True)
