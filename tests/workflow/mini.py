"""Runs the real `snakemake` on the shrunken study, `mini.yaml`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
MINI = REPO / "tests" / "workflow" / "mini.yaml"


class Workflow:
    """The workflow in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self, config: dict[str, Any], *args: str) -> list[str]:
        """The command line for a study, whose file is written into the folder."""
        path = self.folder / "study.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        own = ["--snakefile", str(REPO / "workflow/Snakefile"), "--configfile", str(path)]
        profile = ["--workflow-profile", str(REPO / "profiles/default")]
        return [sys.executable, "-m", "snakemake", *own, *profile, "--cores", "2", *args]

    def run(self, config: dict[str, Any], *args: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; output and errors come together in `stdout`."""
        return subprocess.run(
            self.command(config, *args), cwd=self.folder, env=environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip

    def planned(self, config: dict[str, Any], *args: str) -> dict[str, int]:
        """Rule names and job counts of a dry run; empty when there is nothing to do."""
        done = self.run(config, "-n", *args)
        assert done.returncode == 0, done.stdout
        if "Nothing to be done" in done.stdout:
            return {}
        table = done.stdout.split("Job stats:")[1].split("total")[0]
        return {name: int(n) for name, n in re.findall(r"^(\S+)\s+(\d+)$", table, re.M)}


def environment() -> dict[str, str]:
    """The tests' environment with this interpreter's commands first."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def mini() -> Callable[..., dict[str, Any]]:
    """The shrunken study's config, freshly loaded, with sections updated by keyword."""

    def load(**sections: dict[str, Any]) -> dict[str, Any]:
        config: dict[str, Any] = yaml.safe_load(MINI.read_text())
        for name, update in sections.items():
            config[name] = config.get(name, {}) | update
        return config

    return load


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, mini: Callable[..., Any]) -> Workflow:
    """One complete run of the shrunken study."""
    workflow = Workflow(tmp_path_factory.mktemp("study"))
    done = workflow.run(mini())
    assert done.returncode == 0, done.stdout
    assert "report: results/mini/report/index.html" in done.stdout
    return workflow
