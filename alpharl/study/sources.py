"""Where bases and checkpoints that exist already come from. Torch-free."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveInt, field_validator

from alpharl.errors import nearest
from alpharl.frozen import Frozen

_COLUMNS = ("run", "step", "path")


class Hub(Frozen):
    """Models of a hub, fetched by the workflow: safetensors, configs and tokenizers alone."""

    repo: str = Field(pattern=r"^[\w.-]+/[\w.{}-]+$")
    """Repository, `org/name`; a run's may hold `{step}`."""
    revision: str = "main"
    """Branch, tag or commit; a run's may hold `{step}`, as in `step_{step}`."""
    revisions: dict[PositiveInt, str] = Field(default={})
    """For a run: steps with a revision of their own, such as `{500: main}` for the last."""

    @property
    def has_step(self) -> bool:
        """Whether it is a pattern, with a model for each step."""
        return "{step}" in self.repo + self.revision

    def at(self, step: int | None) -> tuple[str, str]:
        """Repository and revision of a step, or of a base."""
        revision = self.revision if step is None else self.revisions.get(step, self.revision)
        return self.repo.replace("{step}", str(step)), revision.replace("{step}", str(step))


class Merge(Frozen):
    """verl's own merger makes model folders of the shards that it saved."""

    environment: str
    """Virtual environment in which verl is installed."""

    @field_validator("environment")
    @classmethod
    def _is_named(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("found an empty path, expected a virtual environment with verl in it")
        return value


def with_table(name: str, run: Any) -> Any:
    """A run's keys with the folders that its checkpoint table names in place of the table.

    Args:
        name: of the run; it selects the table's rows.
        run: its keys as the study file has them; what is not valid is left for the model to say.

    Raises:
        ValueError: the table is missing, broken, or does not hold the run.
    """
    alone = isinstance(run, Mapping) and isinstance(run.get("table"), str)
    if not alone or {"train", "checkpoints", "hub", "steps"} & run.keys():
        return run
    rows = read_table(Path(run["table"]))
    if name not in rows:
        raise ValueError(
            f"runs.{name}: {run['table']} has no row of run '{name}', {nearest(name, list(rows))}"
        )
    return {key: value for key, value in run.items() if key != "table"} | {
        "checkpoints": rows[name]
    }


def read_table(path: Path) -> dict[str, dict[int, str]]:
    """A CSV table of checkpoints with the columns run, step, path: by run and step, the folder.

    Relative folders are relative to the table's own.

    Raises:
        ValueError: one line that names the row.
    """
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: found no table that can be read ({error}); check it") from None
    folders: dict[str, dict[int, str]] = {}
    for number, row in enumerate(rows, start=2):
        if not all(row.get(column) for column in _COLUMNS) or not row["step"].isdecimal():
            raise ValueError(
                f"{path}: line {number}: expected run, step (a number) and path; mend the line, "
                f"and begin the file with '{','.join(_COLUMNS)}'"
            )
        run, step = folders.setdefault(row["run"], {}), int(row["step"])
        if step in run or step == 0:
            what = "step 0, which is the base" if step == 0 else f"step {step} twice"
            raise ValueError(
                f"{path}: line {number}: found {what} in run '{row['run']}'; remove it"
            )
        run[step] = os.path.normpath(path.parent / row["path"])
    return folders
