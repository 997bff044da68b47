"""Where bases and checkpoints that exist already come from. Torch-free."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from alpharl.csv_table import read_csv_table
from alpharl.errors import TableError, nearest
from alpharl.frozen import Frozen
from alpharl.names import FilePath
from alpharl.steps import Step, read_step

_COLUMNS = ("run", "step", "path")


_REPOSITORY = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)


def _require_repository(repo: str) -> str:
    """As the Hub takes names.

    Raises:
        ValueError: it would not.
    """
    plain = repo.replace("{step}", "0")
    if not _REPOSITORY.fullmatch(plain) or re.search(r"\.\.|--|[.-]$", plain):
        raise ValueError(f"found '{repo}', expected a repository of the Hub, such as org/model")
    return repo


def _require_revision(revision: str) -> str:
    """As git takes names of branches, tags and commits.

    Raises:
        ValueError: it would not.
    """
    plain = revision.replace("{step}", "0")
    if not re.fullmatch(r"(?!-)[^\s\x00-\x1f\x7f~^:?*\[\\{}]+", plain) or ".." in plain:
        raise ValueError(
            f"found '{revision:.80}', expected a branch, a tag or a commit, such as main"
        )
    return revision


class Hub(Frozen):
    """Models of a hub, fetched by the workflow: safetensors, configs and tokenizers alone."""

    repo: Annotated[
        str,
        Field(pattern=r"^[\w.-]+/[\w.{}-]+$", max_length=96),
        AfterValidator(_require_repository),
    ]
    """Repository, `org/name`; a run's may hold `{step}`."""
    revision: Annotated[str, AfterValidator(_require_revision)] = "main"
    """Branch, tag or commit; a run's may hold `{step}`, as in `step_{step}`."""
    revisions: dict[Step, Annotated[str, AfterValidator(_require_revision)]] = Field(default={})
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

    environment: FilePath
    """Virtual environment in which verl is installed."""


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
        TableError: one line that names the row.
    """
    table = read_csv_table(path)
    indices = [table.column(name) for name in _COLUMNS]
    if None in indices:
        raise TableError(
            f"{path}: found columns {', '.join(table.columns)}, expected {', '.join(_COLUMNS)}; "
            "rename them"
        )
    folders: dict[str, dict[int, str]] = {}
    for row in table.rows:
        run, step, folder = (row.cells[index] for index in indices if index is not None)
        try:
            _add(
                folders.setdefault(run, {}), run, step, str(path.parent / folder) if folder else ""
            )
        except ValueError as error:
            raise TableError(f"{path}: row {row.number}: {error}") from None
    return folders


def _add(folders: dict[int, str], run: str, step: str, folder: str) -> None:
    """Take in one row of a run.

    Raises:
        ValueError: a cell is empty, or its step is none, is 0, or stands twice.
    """
    if not run or not folder:
        raise ValueError(f"found no {'path' if run else 'run'}, expected one; fill it in")
    number = read_step(step)
    if number in folders or number == 0:
        what = f"step {number} twice" if number else "step 0, which is the base,"
        raise ValueError(f"found {what} in run '{run}', expected each step once; remove it")
    folders[number] = os.path.normpath(folder)
