"""Show how far a study is, its jobs on a cluster, and what failed.

Counts the files that each stage has made. It may be asked at any time, also while the workflow
runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from alpharl.slurm.jobs import Job
from alpharl.study.status import Failure, StageProgress
from alpharl.verbs import shared
from alpharl.verbs.parser import prints
from alpharl.verbs.result import Result, Table

EXAMPLE = "alpharl status my-study.yaml"


class Status(Result):
    """How far a study is."""

    study: str
    """Path of the study file."""
    results: str
    """Folder of the results, as an absolute path."""
    started: bool
    """Whether that folder is there."""
    report: str
    """Absolute path of the report's page, made or not."""
    running: bool
    """Whether a Snakemake works on the study, on this machine or one that shares its locks."""
    stages: list[StageProgress]
    """One entry each, in the order of the stages."""
    jobs: list[Job]
    """Unfinished jobs on the cluster."""
    failed: list[Failure]
    """Logs that end with an error."""

    def _state(self) -> str:
        if self.running:
            return "a snakemake is at work; finished so far:"
        if all(stage.done == stage.total for stage in self.stages):
            return f"finished, with the report in {self.report}"
        return "no snakemake is at work; finished so far:"

    def blocks(self) -> Iterator[str | Table]:
        """Where it looked; then how far the stages are, or how to start."""
        if not self.started:
            yield f"{self.results}: no such folder, so nothing is made yet. To start, run"
            yield f"  snakemake --configfile {self.study}"
            yield "in the folder that the paths in the study file are relative to."
            return
        yield f"{self.results}: {self._state()}"
        rows = [(stage.stage, stage.done, stage.total) for stage in self.stages]
        yield Table("", ["stage", "files", "of"], rows)
        if self.jobs:
            yield f"jobs on the cluster: {len(self.jobs)}"
            yield from (f"  {job}" for job in self.jobs)
        if self.failed:
            yield "logs that end with an error:"
            yield from (f"  {failure.log}: {failure.line}" for failure in self.failed)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    shared.study(parser)
    prints(parser, Status)


def run(study: Path) -> Status:
    """Count what there is of a study."""
    from alpharl.slurm.jobs import left
    from alpharl.study.config import load_study
    from alpharl.study.earlier import refuse_earlier
    from alpharl.study.plan import Plan
    from alpharl.study.status import failures, is_running, progress

    plan = Plan(load_study(study))
    refuse_earlier(plan)
    results = Path(plan.paths.root).absolute()
    return Status(
        study=str(study),
        results=str(results),
        started=results.is_dir(),
        report=str(Path(plan.paths.report).absolute()),
        running=is_running(plan),
        stages=progress(plan),
        jobs=left(plan.paths.root),
        failed=failures(plan),
    )
