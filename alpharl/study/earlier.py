"""Results of earlier versions: what they were called, and what to do about them. Torch-free."""

from __future__ import annotations

import os

from alpharl.errors import StudyError
from alpharl.study.plan import Plan

_RENAMED = {
    "variants": "rank",
    "geometry/sparsity.parquet": "measures/sparsity.parquet",
    "floor.parquet": "measures/floor.parquet",
}
"""Files and folders of a run that version 0.1 wrote, and what they are called now."""


def refuse_earlier(plan: Plan) -> None:
    """Refuse to work in results that an earlier version made: all of it would be made again.

    Raises:
        StudyError: a run's folder holds a file or a folder under its earlier name.
    """
    for run in plan.study.runs:
        for old, new in _RENAMED.items():
            path = f"{plan.paths.run(run)}/{old}"
            if os.path.exists(path):
                raise StudyError(
                    f"{path}: found results of version 0.1, expected {new} in its place; give the "
                    f"study another 'results' folder, or move {plan.paths.root} away"
                )
