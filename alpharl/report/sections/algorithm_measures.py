"""What runs are compared by: one value per run and measure, next to its null."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from alpharl.measures.registry import MEASURES
from alpharl.report.collect import Results
from alpharl.report.frames import Frames, groups, records
from alpharl.report.score_columns import NAN
from alpharl.study.runs import Run
from alpharl.training.registry import ALGORITHMS

ENDS = {"accuracy_base": "accuracy before", "accuracy_full": "after"}
OF_SCORES = {
    "gain": "gain",
    "rank1_gain_recovery": "rank-1 gain recovery",
    "rank1_retention": "rank-1 retention",
}
OF_UPDATES = {
    "norm": "norm of the update",
    "rank1_share": "rank-1 share",
    "pls_r2": "PLS R²",
    "line_r2": "line R²",
    **{
        f"{name}_{column}": words
        for name, measure in MEASURES.items()
        for column, words in measure.compared.items()
    },
}
COMPARED = OF_SCORES | OF_UPDATES
WALK = "random-walk"
"""The null of the two R²: the hardest one that the dynamics tables hold for both."""
HEAD = ["base", "group", "algorithm", "optimizer"]
COLUMNS = ["run", *HEAD, "suite", "measure", "value", "null"]

Row = dict[str, Any]


def measures_frame(results: Results, frames: Frames) -> pd.DataFrame:
    """Per run and measure at the run's last step: its value, and what it is without any signal.

    Nulls: of rank-1 recovery and retention, the random rank-1 update of the same norm; of its
    share, a Gaussian matrix; of the two R², the random walk's median; of sparsity, a Gaussian
    update. `suite` is empty where a measure is of the update alone.

    Args:
        results: of the study.
        frames: the report's other tables by name.
    """
    rows = [
        {"run": run, **_head(results.study.runs[run]), **row}
        for part in (
            _accuracies(frames),
            _rank_one(frames),
            _updates(frames),
            _chosen(results, frames),
        )
        for run, row in part
    ]
    order = {name: i for i, name in enumerate(results.study.runs)}
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.sort_values(
        "run", key=lambda run: run.map(order), kind="stable", ignore_index=True
    )


def _head(run: Run) -> Row:
    """Algorithm and optimizer are not known of checkpoints from elsewhere."""
    algorithm = run.train.algorithm if run.train else ""
    optimizer = run.train.optimizer if run.train and ALGORITHMS[algorithm].gradient else ""
    return {"base": run.base, "group": run.group, "algorithm": algorithm, "optimizer": optimizer}


def _measured(suite: str, measure: str, value: float, null: float = NAN) -> Row:
    return {"suite": suite, "measure": measure, "value": value, "null": null}


def _accuracies(frames: Frames) -> Iterator[tuple[str, Row]]:
    gains = frames["gains"]
    for row in records(gains[gains["role"] == "test"]):
        for name in (*ENDS, "gain"):
            value = getattr(row, name.removeprefix("accuracy_"))
            yield row.run, _measured(row.suite, name, value)


def _rank_one(frames: Frames) -> Iterator[tuple[str, Row]]:
    """The spatial rank-1 model of each run's end, if the study has one, and its random control."""
    for _, part in groups(frames["rank"], ["run", "suite"]):
        variants = {row.variant: row for row in records(part)}
        row = variants.get(f"rank-1@{part['step'].max()}")
        if row is None:
            continue
        control = variants.get(row.control)
        for name in ("gain_recovery", "retention"):
            null = NAN if control is None else getattr(control, name)
            yield row.run, _measured(row.suite, f"rank1_{name}", getattr(row, name), null)


def _updates(frames: Frames) -> Iterator[tuple[str, Row]]:
    for row in records(last_of_each_run(frames["norms"])):
        yield row.run, _measured("", "norm", row.norm)
    for row in records(frames["spectrum"]):
        yield row.run, _measured("", "rank1_share", row.top_1, row.null_1)
    fits = frames["dynamics"]
    for row in records(fits[fits["measure"].isin(OF_UPDATES) & (fits["null"] == WALK)]):
        yield row.run, _measured("", row.measure, row.value, row.null_q50)


def _chosen(results: Results, frames: Frames) -> Iterator[tuple[str, Row]]:
    """What the study's measures offer for comparison."""
    for name, measure in results.plan.measures.items():
        for row in records(last_of_each_run(frames[name])) if measure.compared else ():
            for column in measure.compared:
                value, null = (getattr(row, c) for c in (column, measure.nulls[column]))
                yield row.run, _measured("", f"{name}_{column}", value, null)


def last_of_each_run(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last step."""
    return frame[frame["step"] == frame.groupby("run", sort=False)["step"].transform("max")]
