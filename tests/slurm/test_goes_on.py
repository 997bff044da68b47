"""Jobs that SLURM ends before they are done: what they had made is not made again."""

from __future__ import annotations

import json
import re
import shutil
import stat
from pathlib import Path

import pytest
import yaml

from tests.slurm.cluster import CPUS
from tests.slurm.test_study import name_of
from tests.workflow.mini import Workflow

pytestmark = pytest.mark.sample

STEPS = 400
STANDS_STILL = """#!/bin/sh
# The first scoring stands still when it has some answers, until its time is over.
if [ "$1" = evaluate ] && mkdir stood 2> /dev/null; then
  {alpharl} "$@" &
  until [ "$(cat {answers} 2> /dev/null | wc -l)" -gt 10 ]; do sleep .02; done
  kill -STOP $!
  cp {answers} stood
  wait
fi
exec {alpharl} "$@"
"""


def jobs_of(cluster, project, rule: str) -> list[dict[str, str]]:
    """A rule's jobs in this project, oldest first."""
    named = [job["id"] for job in cluster.history() if name_of(job["rule"]) == rule]
    details = [cluster.detail(job) for job in named]
    return [job for job in details if job["WorkDir"] == str(project.folder)]


def test_a_preempted_training_goes_on_from_its_last_checkpoint(cluster, project, small, tmp_path):
    """Preempted as on a cluster: by a job of a partition that goes first."""
    config = yaml.safe_load(yaml.safe_dump(small))
    config["runs"]["sft"]["train"] |= {"steps": STEPS, "save_every": 10}
    folder = project.folder / "results/mini/runs/sft"
    head = project.start("--until", "train", *project.study(config))
    cluster.wait("checkpoints", lambda: (folder / "checkpoints/step-30").is_dir(), 600)
    (job,) = jobs_of(cluster, project, "train")
    urgent = ["sbatch", "--parsable", "-p", "urgent", "-w", job["NodeList"], f"-c{CPUS}"]
    cluster.call(*urgent, "--mem=100", "-o/dev/null", "--wrap=sleep 1")
    name = job["JobId"]
    cluster.wait("its return", lambda: cluster.detail(name)["JobState"] == "PENDING", 60)
    done = max(int(path.name.partition("-")[2]) for path in folder.glob("checkpoints/step-*"))
    assert 30 <= done < STEPS, "in the midst of it"
    # SLURM lets two minutes pass.
    cluster.call("scontrol", "update", f"jobid={name}", "starttime=now")
    assert head.wait(timeout=600) == 0, project.printed.read_text()
    (job,) = jobs_of(cluster, project, "train")
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")
    log = (project.folder / "results/mini/logs/train/sft.log").read_text()
    assert int(re.findall(r"step (\d+)/", log)[0]) > 30, "the second start's first line"
    assert weights(folder) == weights(undisturbed(config, tmp_path))


def undisturbed(config: dict[str, object], folder: Path) -> Path:
    """The same run without SLURM."""
    workflow = Workflow(folder / "local")
    workflow.folder.mkdir()
    done = workflow.run(config, "--until", "train")
    assert done.returncode == 0, done.stdout
    return workflow.folder / "results/mini/runs/sft"


def weights(run: Path) -> list[str]:
    """Digests of all checkpoints."""
    paths = sorted(run.glob("manifests/step-*.json"))
    assert len(paths) == STEPS // 10
    return [json.loads(path.read_text())["digest"] for path in paths]


def test_a_scoring_that_ran_out_of_time_goes_on_with_more_of_it(cluster, project, small):
    answers = "results/mini/runs/sft/scores/validation/*.answers.jsonl"
    project.bin.mkdir()
    shim = project.bin / "alpharl"
    shim.write_text(STANDS_STILL.format(alpharl=shutil.which("alpharl"), answers=answers))
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    target = "results/mini/runs/sft/scores/validation.csv"
    minutes = ["--set-resources", "evaluate_checkpoints:runtime=attempt"]
    done = project.snakemake(target, *project.study(small), *minutes)
    assert done.returncode == 0, done.stdout
    first, second = jobs_of(cluster, project, "evaluate_checkpoints")
    assert (first["JobState"], second["JobState"]) == ("TIMEOUT", "COMPLETED")
    assert (first["TimeLimit"], second["TimeLimit"]) == ("00:01:00", "00:02:00")
    kept = list((project.folder / "stood").iterdir())
    assert sum(len(path.read_text().splitlines()) for path in kept) > 10
    for path in kept:
        final = (project.folder / answers).with_name(path.name).read_text()
        assert final.startswith(path.read_text())
        rows = [json.loads(line) for line in final.splitlines()]
        asked = [(row["task"], row["prompt"], row["sample"]) for row in rows if "task" in row]
        assert len(asked) == len(set(asked)) == 40, "each question once"
