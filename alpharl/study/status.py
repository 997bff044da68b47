"""How far a study is, from the files that are there; of logs the ends are read. Torch-free."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from alpharl import locks
from alpharl.study.plan import Plan
from alpharl.study.stages import STAGES

_TAIL = 4096
"""Bytes of a log that its last line is looked for in."""
_FAILED = re.compile(r"alpharl [a-z]+: error: |[\w.]*(Error|Exception|Interrupt)\b")
"""How the last line of a job that failed begins: by a line of ours, or of a traceback."""


def outputs(plan: Plan) -> dict[str, list[str]]:
    """The files that say a stage is done, of all runs together, in the order of the stages."""
    files = {stage.name: stage.all_files(plan) for stage in STAGES}
    return {name: paths for name, paths in files.items() if paths} | {"report": [plan.paths.report]}


def progress(plan: Plan) -> list[str]:
    """A line for each stage: files that are there, and how many there should be."""
    counts = {stage: (_there(files), len(files)) for stage, files in outputs(plan).items()}
    width = max(map(len, counts))
    return [f"  {stage:<{width}} {done:>6} of {total}" for stage, (done, total) in counts.items()]


def _there(files: Sequence[str]) -> int:
    return sum(map(os.path.exists, files))


def is_running(plan: Plan) -> bool:
    """Whether a Snakemake on this machine, or one that shares its locks, works on the study."""
    return locks.is_taken(Path(plan.paths.lock))


def failures(plan: Plan) -> list[str]:
    """The last lines of logs that end with an error. A job that is run again has a new log."""
    logs = sorted(Path(plan.paths.root, "logs").rglob("*.log"))
    said = ((log.relative_to(plan.paths.root), _last_line(log)) for log in logs)
    return [f"  {log}: {line}" for log, line in said if _FAILED.match(line)]


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
