"""How training is going: a line now and then, and `training.csv` with a row per optimizer step."""

from __future__ import annotations

import csv
import io
import logging
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import transformers
from transformers import TrainerCallback, TrainerControl, TrainerState

from alpharl.checkpoints.files import write_text

TABLE = "training.csv"
# Column of the table, and the trainer's name for it. An algorithm without one leaves it empty.
_COLUMNS = {
    "step": "step",
    "loss": "loss",
    "reward": "reward",
    "entropy": "entropy",
    "kl": "kl",
    "completion_length": "completions/mean_length",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "seconds": "seconds",
}
_LINES = 20

Entry = dict[str, Any]
"""What is known of one step, by the trainer's names."""


class Log:
    """Keeps the table and prints about twenty lines to standard error.

    `seconds` is the wall time spent training up to the end of that step. Time that a killed attempt
    spent on steps that are trained again is not counted.
    """

    def __init__(self, name: str, steps: int, out: Path, earlier: Sequence[Entry] = ()) -> None:
        """Start the table of a run of so many steps with the rows of an `earlier` attempt."""
        self._name, self._steps, self._table = name, steps, out / TABLE
        write_text(self._table, _lines([list(_COLUMNS), *map(_row, earlier)]))
        self._began = time.monotonic() - (earlier[-1]["seconds"] if earlier else 0.0)

    def add(self, entry: Entry) -> None:
        """Append the row of the step that just ended, and note its time in `entry`."""
        entry["seconds"] = round(time.monotonic() - self._began, 3)
        with self._table.open("a", newline="") as file:
            file.write(_lines([_row(entry)]))
        if entry["step"] % max(1, self._steps // _LINES) == 0:
            self._print(entry)

    def _print(self, entry: Entry) -> None:
        step, steps = entry["step"], self._steps
        measure = next((name for name in ("reward", "loss") if name in entry), None)
        shown = f", {measure} {entry[measure]:.3f}" if measure else ""
        left = entry["seconds"] * (steps - step) / step
        print(
            f"{self._name}: step {step}/{steps}{shown}, {left:.0f} s left",
            file=sys.stderr, flush=True,
        )  # fmt: skip


def read_log(out: Path, through: int) -> list[Entry]:
    """The table's rows up to a step, for those who keep no log elsewhere; none before the first."""
    if through == 0:
        return []
    # On a full disk, or by a kill, the last line may have come to be half a line.
    whole, _, _ = (out / TABLE).read_text().rpartition("\n")
    rows = [
        {_COLUMNS[name]: text for name, text in row.items()}
        for row in csv.DictReader(whole.splitlines())
    ]
    return [
        {**row, "step": int(row["step"]), "seconds": float(row["seconds"])}
        for row in rows
        if int(row["step"]) <= through
    ]


class Progress(TrainerCallback):
    """Keeps the log of a trainer."""

    def __init__(self, name: str, out: Path) -> None:
        self._name, self._out = name, out

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the log with the rows that a stored state brings along."""
        rows = [entry for entry in state.log_history if "loss" in entry]
        self._log = Log(self._name, state.max_steps, self._out, rows)

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Add the step that just ended."""
        entry = state.log_history[-1]
        if "loss" in entry:  # not so in the summary at the end
            self._log.add(entry)


def quiet() -> None:
    """Silence the libraries' bars and notices, so that these lines can be read."""
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    # Their own use of deprecated names, and how they sort folders: nothing a user can act on.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl)\.")
    logging.getLogger("transformers.trainer_utils").setLevel(logging.ERROR)


def _row(entry: Entry) -> list[Any]:
    return [entry.get(key, "") for key in _COLUMNS.values()]


def _lines(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
