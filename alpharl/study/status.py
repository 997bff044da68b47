"""How far a study is, from the files that are there; of logs the ends are read. Torch-free."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alpharl import locks
from alpharl.frozen import Frozen

if TYPE_CHECKING:
    # Help shows the forms below, and should not wait for what plans read.
    from alpharl.study.plan import Plan

_TAIL = 4096
"""Bytes of a log that its last line is looked for in."""
_FAILED = re.compile(r"alpharl [a-z]+: error: |[\w.]*(Error|Exception|Interrupt)\b")
"""How the last line of a job that failed begins: by a line of ours, or of a traceback."""


class StageProgress(Frozen):
    """How far a stage is."""

    stage: str
    """Name of the stage."""
    done: int
    """Files that are there."""
    total: int
    """Files that there will be."""


class Failure(Frozen):
    """A log that ends with an error."""

    log: str
    """Its path in the results folder."""
    line: str
    """Its last line."""


def outputs(plan: Plan) -> dict[str, list[str]]:
    """The files that say a stage is done, of all runs together, in the order of the stages."""
    from alpharl.study.stages import STAGES

    files = {stage.name: stage.all_files(plan) for stage in STAGES}
    return {name: paths for name, paths in files.items() if paths} | {"report": [plan.paths.report]}


def progress(plan: Plan) -> list[StageProgress]:
    """How far each stage is."""
    return [
        StageProgress(stage=stage, done=_there(files), total=len(files))
        for stage, files in outputs(plan).items()
    ]


def _there(files: Sequence[str]) -> int:
    return sum(map(os.path.exists, files))


def is_running(plan: Plan) -> bool:
    """Whether a Snakemake on this machine, or one that shares its locks, works on the study."""
    return locks.is_taken(Path(plan.paths.lock))


def failures(plan: Plan) -> list[Failure]:
    """The logs that end with an error. A job that is run again has a new log."""
    root = Path(plan.paths.root)
    lines = {log: _last_line(log) for log in sorted(root.joinpath("logs").rglob("*.log"))}
    return [
        Failure(log=str(log.relative_to(root)), line=line)
        for log, line in lines.items()
        if _FAILED.match(line)
    ]


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
