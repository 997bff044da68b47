"""Jobs, wall time and overhead per job of the shrunken demo: this machine alone, and through SLURM.

python -m tests.slurm.measure --out docs/benchmarks-slurm.md

Both run with the same cores. Polling is every second (see quick.py), so that the table shows what
submitting and starting costs, and not how long the executor sleeps.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.benchmarks.run import machine
from tests.slurm.cluster import Cluster, install, started
from tests.slurm.conftest import Project
from tests.slurm.test_study import LOCAL_RULES
from tests.workflow.mini import MINI, Workflow

STUDY = "mini"


@dataclass(frozen=True)
class Measured:
    """One run of the study."""

    wall: float
    """Seconds from start to end."""
    jobs: int
    work: float
    """Seconds of all commands, by Snakemake's benchmark files."""
    beside: float
    """Seconds of those that run next to Snakemake, whatever the executor."""


def measured(folder: Path, wall: float) -> Measured:
    """What the benchmark files in a folder say of the run that took `wall` seconds."""
    root = folder / "results" / STUDY / "benchmarks"
    seconds = {
        path.relative_to(root): float(path.read_text().splitlines()[1].split("\t")[0])
        for path in root.rglob("*.tsv")
    }
    beside = [s for path, s in seconds.items() if path.parts[0].removesuffix(".tsv") in LOCAL_RULES]
    return Measured(wall, len(seconds), sum(seconds.values()), sum(beside))


def run_local(folder: Path) -> Measured:
    """The study on this machine's two cores."""
    begin = time.monotonic()
    done = Workflow(folder).run(yaml.safe_load(MINI.read_text()))
    assert done.returncode == 0, done.stdout
    return measured(folder, time.monotonic() - begin)


def run_slurm(folder: Path) -> Measured:
    """The study through SLURM."""
    project = Project(folder)
    study = project.study(yaml.safe_load(MINI.read_text()))
    begin = time.monotonic()
    done = project.snakemake(*study)
    assert done.returncode == 0, done.stdout
    return measured(folder, time.monotonic() - begin)


def waits(cluster: Cluster) -> tuple[list[float], list[float]]:
    """Of each job, seconds in the queue and seconds between its start and its end."""
    jobs = [cluster.detail(job["id"]) for job in cluster.history()]
    return (
        [_seconds(job["SubmitTime"], job["StartTime"]) for job in jobs],
        [_seconds(job["StartTime"], job["EndTime"]) for job in jobs],
    )


def _seconds(begin: str, end: str) -> float:
    times = [datetime.datetime.fromisoformat(text) for text in (begin, end)]
    return (times[1] - times[0]).total_seconds()


def text(local: Measured, slurm: Measured, queued: list[float], held: list[float]) -> str:
    """The page."""
    submitted = len(held)
    inside = (sum(held) - slurm.work + slurm.beside) / submitted
    rows = [
        f"| {name} | {run.jobs} | {run.wall:.0f} | {run.work:.0f} | {run.wall / run.jobs:.1f} |"
        for name, run in (("local", local), ("SLURM", slurm))
    ]
    return "\n".join(
        [
            "# Benchmarks of the cluster",
            "",
            f"`make benchmark-slurm`. {machine()}. The shrunken demo",
            "(`tests/workflow/mini.yaml`), local with two cores, and through a SLURM of two",
            "virtual nodes with one core each on the same machine, polled every second.",
            "",
            "| | jobs | wall s | s of all commands | wall s per job |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"SLURM ran {submitted} of the jobs, the others ran next to Snakemake. A job waited",
            f"{statistics.median(queued):.0f} s in the queue (median; most {max(queued):.0f}). The",
            f"executor starts Snakemake twice in each, which took {inside:.1f} s of every job.",
            "",
        ]
    )


def main() -> None:
    """Run both and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    install()
    with tempfile.TemporaryDirectory() as folder:
        local, clustered = Path(folder) / "local", Path(folder) / "slurm"
        local.mkdir()
        clustered.mkdir()
        alone = run_local(local)
        with started(cpus=1) as cluster:
            args.out.write_text(text(alone, run_slurm(clustered), *waits(cluster)))
    print(args.out.read_text())


if __name__ == "__main__":
    main()
