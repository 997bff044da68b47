"""`kill -9` of the whole process group at many moments, then the same command again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from alpharl import locks

from tests.workflow.contents import content
from tests.workflow.mini import Workflow, environment

pytestmark = pytest.mark.sample

MOMENTS = [
    "logs/pretrain/tiny.log",
    "logs/train/rl.log",
    "runs/rl/checkpoints/step-4/model.safetensors",
    "runs/sft/checkpoints/step-2/model.safetensors",
    "runs/rl/factors/step-4/shard-1.safetensors",
    "runs/rl/scores/validation/step-2.json",
    "runs/sft/forecasts/relex@0.7/variant.json",
    "runs/rl/scores/test/rank-1@6.json",
    "logs/report.log",
]
"""Files of the study; the workflow is killed as soon as the next one of them appears."""


def kill_when_there(workflow: Workflow, config: dict[str, object], path: Path) -> bool:
    """Start the workflow, kill its process group once `path` exists. False if it ended first."""
    process = subprocess.Popen(
        workflow.command(config), cwd=workflow.folder, env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and not path.exists():
        time.sleep(0.02)
    time.sleep(0.3)  # so that the kill also falls into the middle of a job
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory, mini) -> Workflow:
    """The study after a kill at every moment and a last, undisturbed run."""
    workflow = Workflow(tmp_path_factory.mktemp("killed"))
    kills = [kill_when_there(workflow, mini(), root(workflow) / moment) for moment in MOMENTS]
    assert all(kills), dict(zip(MOMENTS, kills, strict=True))
    done = workflow.run(mini())
    assert done.returncode == 0, done.stdout
    return workflow


def root(workflow: Workflow) -> Path:
    return workflow.folder / "results" / "mini"


def test_it_completes_and_nothing_is_left_to_do(survivor, mini):
    assert survivor.planned(mini()) == {}


def test_no_partial_file_is_left(survivor):
    assert not [path for path in root(survivor).rglob("*.partial*")]


@pytest.mark.parametrize("pattern", ["factors/*/*.safetensors", "gram/*", "rank/*/adapter/*"])
def test_deterministic_files_are_the_same(survivor, finished, pattern):
    for run in ("rl", "sft"):
        ours = sorted((root(survivor) / "runs" / run).glob(pattern))
        assert ours
        for path in ours:
            other = root(finished) / path.relative_to(root(survivor))
            assert content(path) == content(other), path


def test_scores_are_the_same(survivor, finished):
    compared = 0
    for path in root(survivor).glob("runs/*/scores/*/*.json"):
        other = root(finished) / path.relative_to(root(survivor))
        one, two = (json.loads(p.read_text()) for p in (path, other))
        assert one["correct"] == two["correct"], path
        compared += 1
    assert compared > 30


def test_a_second_snakemake_on_the_same_study_is_refused(survivor, mini):
    """The lock holds while a study runs, and is gone with the process."""
    config, lock = mini(dynamics={"permutations": 3000}), root(survivor) / ".lock"
    assert not locks.is_taken(lock)
    first = subprocess.Popen(
        survivor.command(config), cwd=survivor.folder, env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not locks.is_taken(lock):
        assert first.poll() is None
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGSTOP)  # so that it does not end before the second looks
    try:
        second = survivor.run(config)
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    assert second.returncode != 0
    assert "another snakemake runs study 'mini'" in second.stdout
    assert first.wait() == 0
    assert not locks.is_taken(lock)
