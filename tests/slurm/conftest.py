"""One cluster for all tests of this folder, and project folders that use it as people would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.slurm.cluster import Cluster, install, started
from tests.workflow.mini import REPO, environment

QUICK = REPO / "tests" / "slurm" / "quick.py"
SOON = ["--latency-wait", "20", "--slurm-init-seconds-before-status-checks", "5"]
"""Nothing here is as slow as a file system that is shared by many."""


class Project:
    """A folder with the workflow and a profile for the cluster, made by `alpharl init --slurm`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"  # commands here go before all others, in jobs too
        self.printed = folder / "printed.log"
        self._started: list[subprocess.Popen[str]] = []
        for name in ("workflow", "profiles"):
            (folder / name).symlink_to(REPO / name)
        done = self.call(sys.executable, "-m", "alpharl.cli", "init", "--slurm")
        assert done.returncode == 0, done.stdout
        self.told = done.stdout

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder; output and errors come together in `stdout`."""
        return subprocess.run(command, timeout=1500, **self._where())

    def snakemake(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run `snakemake --profile slurm` to its end."""
        return self.call(*self.command(*args))

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start it, to do something to it while it runs; what it prints goes into `printed`."""
        with self.printed.open("w") as file:
            where = self._where() | {"stdout": file}
            head = subprocess.Popen(self.command(*args), start_new_session=True, **where)
        self._started.append(head)
        return head

    def end(self) -> None:
        """End what a test that failed left running."""
        for head in self._started:
            if head.poll() is None:
                os.killpg(head.pid, signal.SIGKILL)
                head.wait()

    def command(self, *args: str) -> list[str]:
        """The command line."""
        return [sys.executable, str(QUICK), "--profile", "slurm", *SOON, *args]

    def study(self, config: dict[str, Any]) -> list[str]:
        """Options that name a study, whose file is written into the folder."""
        (self.folder / "study.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        return ["--configfile", "study.yaml"]

    def _where(self) -> dict[str, Any]:
        return {
            "cwd": self.folder,
            "env": environment() | {"PATH": f"{self.bin}:{environment()['PATH']}"},
            "text": True,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
        }


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The running cluster; its tests are skipped, with the reason, where there cannot be one."""
    install()
    with started() as running:
        yield running


@pytest.fixture(scope="session")
def small(mini: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The shrunken demo with its shortest run and few variants: each job here costs seconds."""
    config = mini(
        spectra={"rank": 4, "shards": 1, "checkpoints_per_job": 3},
        rank={"merged": [], "without": [], "percent_components": [], "rest": []},
    )
    config["bases"]["tiny"]["pretrain"]["steps"] = 40
    config["runs"] = {"sft": config["runs"]["sft"]}
    config["forecast"]["methods"] = {"last": {}, "relex": {}}
    del config["tokens"]
    return config


@pytest.fixture
def project(cluster: Cluster, tmp_path: Path) -> Iterator[Project]:
    """A project folder of its own for one test."""
    found = Project(tmp_path)
    yield found
    found.end()
