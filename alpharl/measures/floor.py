"""The bf16 floor: what storing weights in bfloat16 alone does to an update and to its spectrum.

bfloat16 keeps 8 significant bits, so that an RL update is often smaller than the gap between a
weight and its neighbour. Most weights then do not move at all, and those that do jump by a whole
gap: rounding adds a matrix of full rank to the update and takes away from its leading direction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from alpharl.errors import CheckpointError
from alpharl.measures.measure import Measure, Row, TensorPath

if TYPE_CHECKING:
    import pandas as pd

    from alpharl.spectra.lowrank import Factors
    from alpharl.spectra.scope import Matrix

NUMBERS = [
    "unmoved", "share", "noise_norm_ratio", "noise_s1_ratio", "noise_share",
    "rounded_share", "rounded_s1_ratio", "rounded_unmoved",
]  # fmt: skip
COLUMNS = ["tensor", "layer", "module", *NUMBERS]
INTACT = 0.95
"""Top-1 share from which on a rounded rank-1 update still passes for one."""


class Floor(Measure):
    """What storage in bfloat16 alone does to the last update, matrix by matrix.

    Columns: tensor, layer, module; `unmoved`, the share of entries whose stored value is the
    base's; `share`, the update's s_1^2 / norm^2; and those of `alpharl.measures.bf16.simulate`. All
    but `unmoved` are missing for an update that is zero.
    """

    version = 1
    reads = frozenset({"weights", "factors"})
    operations = 1280
    title = "The bf16 floor"
    text = (
        "bfloat16 keeps 8 significant bits, so an update smaller than the gap between a weight and "
        "its neighbour is lost or jumps by the whole gap. Each measured number stands next to what "
        "bf16 storage alone would do: to an exactly rank-1 update of the same norm (<em>rank-1, "
        "rounded</em>), and as pure rounding noise, uniform within half a gap of each weight. "
        "Means over the matrices of the last step. For checkpoints that are stored in float32 the "
        "table says what saving them in bf16 would cost."
    )
    null = (
        "If an update were nothing but bf16 rounding, its two ratios to noise would be 1, and its "
        "top-1 share would be that of noise alone."
    )
    note = (
        "Unmoved: share of weights whose stored value is exactly the base's. s₁ left: top singular "
        "value after rounding over the norm before; 1 without rounding. Where the noise's norm "
        "comes near that of the update, the tail of the spectrum is rounding."
    )
    labels = {"module": "module", "matrices": "matrices"}
    columns = {
        "unmoved": "unmoved",
        "rounded_unmoved": "rank-1, rounded",
        "share": "top-1 share",
        "rounded_share": "rank-1, rounded",
        "noise_share": "noise alone",
        "rounded_s1_ratio": "s₁ left of rank-1",
        "noise_norm_ratio": "noise norm / update norm",
        "noise_s1_ratio": "noise s₁ / update s₁",
    }
    nulls = {"unmoved": "rounded_unmoved", "share": "rounded_share"}

    def rows(self, tensor: TensorPath) -> Iterator[Row]:
        """The floor of every matrix that the tensor holds."""
        from alpharl.spectra.scope import layer_of, module_of

        for matrix in tensor.matrices:
            head = {"layer": layer_of(matrix.name), "module": module_of(matrix.name)}
            yield {"tensor": matrix.name, **head, **self._numbers(tensor, matrix)}

    def _numbers(self, tensor: TensorPath, matrix: Matrix) -> Row:
        import torch

        from alpharl.checkpoints.reader import best_device, refuse_not_finite
        from alpharl.measures.bf16 import Leading, simulate, unmoved_share

        ((step, checkpoint),) = tensor.checkpoints.items()
        readers, device = [tensor.base, checkpoint], torch.device(best_device())
        old, new = (
            reader.part(matrix.tensor, matrix.start, matrix.shape).to(device) for reader in readers
        )
        unmoved, base_mn = unmoved_share(old, new), old.float()
        if not bool(torch.isfinite(base_mn.sum() + new.float().sum())):
            refuse_not_finite(readers, matrix.tensor)
        leading = Leading.stored(_factors_of(matrix.name, tensor.factors[step]), device)
        if leading.norm == 0:
            return {"unmoved": unmoved}
        share = (leading.s / leading.norm) ** 2
        simulated = simulate(base_mn, leading, matrix.name, self.seed)
        return {"unmoved": unmoved, "share": share} | simulated

    def table(self, rows: pd.DataFrame) -> pd.DataFrame:
        """One row per matrix of the paper's scope."""
        return rows.reindex(columns=COLUMNS).astype(dict.fromkeys(NUMBERS, float))

    def summary(self, table: pd.DataFrame) -> pd.DataFrame:
        """Per module: number of matrices, and means over them."""
        by_module = table.groupby("module", sort=False)
        means = by_module[list(self.columns)].mean()
        return by_module.agg(matrices=("tensor", "size")).join(means).reset_index()

    def remark(self, summary: pd.DataFrame) -> str:
        """Whether bf16 could have shown a rank-1 update of this run's size."""
        share, rounded = summary["share"].mean(), summary["rounded_share"].mean()
        if math.isnan(rounded):
            return "No matrix in scope has an update that bf16 could hold."
        if rounded >= INTACT:
            return (
                f"A rank-1 update of this size survives bf16 (top-1 share {rounded:.2f}): what the "
                f"measured share of {share:.2f} lacks is the update's own."
            )
        return (
            f"Stored in bf16, a rank-1 update of this size would show a top-1 share of only "
            f"{rounded:.2f} (measured: {share:.2f}): in bf16 checkpoints, a share as low as that "
            "does not speak against rank 1."
        )


def _factors_of(name: str, factors: Mapping[str, Factors]) -> Factors:
    if name not in factors:
        raise CheckpointError(
            f"factors: found no {name} among {len(factors)} matrices; give all shards of the "
            "checkpoint's factors"
        )
    return factors[name]
