"""Planning stays cheap as a study grows. Calls of functions are counted, not seconds: these differ
from machine to machine and from hour to hour."""

from __future__ import annotations

import pstats
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.plan import alone, own_checkpoints
from tests.workflow.mini import Workflow, environment

pytestmark = pytest.mark.slow


def study(runs: int) -> dict[str, Any]:
    """The benchmark's study with ten checkpoints a run instead of thirty."""
    config = own_checkpoints(runs)
    for run in config["runs"].values():
        run["steps"] = {"first": 10, "last": 100, "every": 10}
    return config


def output(folder: Path, config: dict[str, Any], *args: str, profile: Path | None = None) -> str:
    """What `snakemake` prints, under the profiler if a file is given for what it finds."""
    python, *command = Workflow(folder).command(config, *args)
    counted = [python, "-m", "cProfile", "-o", str(profile)] if profile else [python]
    done = subprocess.run(
        [*counted, *command], cwd=folder, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def planned(folder: Path, runs: int, *args: str) -> tuple[int, int]:
    """Jobs of a dry run, and calls that it took."""
    profile = folder / "profile"
    text = output(folder, study(runs), "--dry-run", *args, profile=profile)
    jobs = re.findall(r"^total\s+(\d+)$", text, re.M)
    return int(jobs[0]), pstats.Stats(str(profile)).total_calls  # type: ignore[attr-defined]


def test_more_runs_are_no_more_rules(tmp_path: Path) -> None:
    few, many = (output(tmp_path, study(runs), "--list-rules") for runs in (1, 9))
    assert few == many and "evaluate_variants" in many


@pytest.mark.sample
def test_a_job_costs_the_same_in_a_larger_plan(tmp_path: Path) -> None:
    costs = [planned(tmp_path, runs) for runs in (1, 3, 5)]
    first, second = ((c1 - c0) / (j1 - j0) for (j0, c0), (j1, c1) in pairwise(costs))
    assert second < 1.2 * first


def test_signatures_of_functions_are_not_looked_up_for_each_job(tmp_path: Path) -> None:
    """Snakemake alone does it several times for each."""
    jobs, looked_up = zip(*(signatures(tmp_path, runs) for runs in (1, 5)), strict=True)
    assert jobs[1] > jobs[0] + 100 and looked_up[1] == looked_up[0]


def signatures(folder: Path, runs: int) -> tuple[int, int]:
    """Jobs of a dry run, and how often it took a function's signature apart."""
    jobs, _ = planned(folder, runs)
    calls = pstats.Stats(str(folder / "profile")).stats  # type: ignore[attr-defined]
    made = (count[0] for (_, _, name), count in calls.items() if name == "_signature_from_function")
    return jobs, sum(made)


@pytest.mark.sample
def test_a_job_that_is_run_alone_starts_as_fast_in_a_larger_plan(tmp_path: Path) -> None:
    starts = [planned(tmp_path, runs, *alone("gram:run=run0,shard=0")) for runs in (1, 30)]
    assert [jobs for jobs, _ in starts] == [1, 1]
    assert starts[1][1] < 1.2 * starts[0][1]
