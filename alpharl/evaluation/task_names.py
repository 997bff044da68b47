"""Which tasks there are, by name. Torch-free."""

from __future__ import annotations

from alpharl.errors import EvaluationError, nearest
from alpharl.evaluation.datasets import DATASETS
from alpharl.problems import PREFIX, PROBLEMS, is_generated


def require_task(name: str) -> None:
    """Refuse a name that no task which ships has.

    Raises:
        EvaluationError: there is none; the nearest is named.
    """
    if not is_generated(name) and name not in DATASETS:
        names = [*PROBLEMS, *DATASETS, f"{PREFIX}<generator>"]
        raise EvaluationError(
            f"found no task '{name}', {nearest(name, names)}; see `alpharl tasks`"
        )
