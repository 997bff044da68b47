"""The shrunken demo through SLURM, with everything done to it that happens on clusters."""

from __future__ import annotations

import json
import shutil
import signal
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.slurm.conftest import Project
from tests.workflow.contents import content
from tests.workflow.mini import Workflow

pytestmark = pytest.mark.sample

GPU_RULES = ["train", "gram", "evaluate_variants"]
"""These get a GPU from SLURM. They compute without: the study's own `gpus` would want CUDA too."""
LOCAL_RULES = {"suite", "disjoint", "checkpoints", "report", "all"}

FAILS_ONCE = """#!/bin/sh
# The first gram is killed, as one that needs more memory than it asked for.
if [ "$1" = gram ] && [ ! -e gram-failed ]; then
  touch gram-failed
  exit 137
fi
exec {alpharl} "$@"
"""


@dataclass
class Story:
    """What happened to the study, in this order."""

    project: Project
    study: list[str]
    lost: list[str] = field(default_factory=list)
    """Rules of jobs that ran when the head process was killed."""
    refused: str = ""
    """What the next start said while they still ran."""
    refused_status: int = 0
    submitted_by_refused: int = 0
    interrupted: list[str] = field(default_factory=list)
    """Jobs that ran when the head was interrupted."""
    after_interrupt: set[str] = field(default_factory=set)
    """Their states soon after."""
    node_job: str = ""
    """The job that ran on the node that went down."""

    @property
    def root(self) -> Path:
        """The study's folder."""
        return self.project.folder / "results" / "mini"


@pytest.fixture(scope="module")
def local(small, tmp_path_factory) -> Path:
    """Results of the same study without SLURM."""
    workflow = Workflow(tmp_path_factory.mktemp("local"))
    done = workflow.run(small)
    assert done.returncode == 0, done.stdout
    return workflow.folder / "results" / "mini"


@pytest.fixture(scope="module")
def story(cluster, small, tmp_path_factory) -> Iterator[Story]:
    """The study: head killed, started too soon, interrupted, a node lost, and then to its end."""
    project = Project(tmp_path_factory.mktemp("clustered"))
    fail_once(project)
    resources = [f"{rule}:gres=gpu:fake:1" for rule in GPU_RULES]
    story = Story(project, [*project.study(small), "--set-resources", *resources])
    try:
        kill_head(story, cluster)
        interrupt(story, cluster)
        lose_a_node(story, cluster)
        yield story
    finally:
        project.end()


def fail_once(project: Project) -> None:
    """Put a command before the real one that kills the first gram."""
    project.bin.mkdir()
    shim = project.bin / "alpharl"
    shim.write_text(FAILS_ONCE.format(alpharl=shutil.which("alpharl")))
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)


def running(cluster, *rules: str) -> list[dict[str, str]]:
    """Jobs that run, of some rules or of all."""
    jobs = [job for job in cluster.queue() if job["state"] == "RUNNING"]
    return [job for job in jobs if not rules or name_of(job["rule"]) in rules]


def name_of(rule: str) -> str:
    """A rule's name, of what the executor says in a job's comment."""
    return rule.removeprefix("rule_").partition("_wildcards_")[0]


def kill_head(story: Story, cluster) -> None:
    head = story.project.start(*story.study)
    cluster.wait("the training", lambda: bool(running(cluster, "train")), 600)
    head.kill()
    head.wait()
    story.lost = [job["rule"] for job in running(cluster)]
    jobs = len(cluster.history())
    refused = story.project.snakemake(*story.study)
    story.refused, story.refused_status = refused.stdout, refused.returncode
    story.submitted_by_refused = len(cluster.history()) - jobs
    cluster.wait_empty()


def interrupt(story: Story, cluster) -> None:
    head = story.project.start(*story.study)
    cluster.wait("a job after the training", lambda: bool(running(cluster)), 600)
    story.interrupted = [job["id"] for job in cluster.queue()]
    head.send_signal(signal.SIGINT)
    head.wait(timeout=300)
    cluster.wait_empty(60)
    jobs = [job for job in cluster.history() if job["id"] in story.interrupted]
    story.after_interrupt = {job["state"] for job in jobs}


def lose_a_node(story: Story, cluster) -> None:
    head = story.project.start(*story.study)
    # Scoring takes some seconds, so it still runs when its node goes.
    cluster.wait("the scoring", lambda: bool(running(cluster, "evaluate_checkpoints")), 600)
    job = running(cluster, "evaluate_checkpoints")[0]
    story.node_job, node = job["id"], job["nodes"]
    there = [other["id"] for other in running(cluster) if other["nodes"] == node]
    cluster.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    for i in there:
        cluster.wait("its return to the queue", lambda i=i: state_of(cluster, i) == "PENDING", 60)
        # SLURM lets two minutes pass, since the node that it ran on would refuse it sooner.
        cluster.call("scontrol", "update", f"jobid={i}", "starttime=now")
    cluster.wait("a new start", lambda: "PENDING" not in {state_of(cluster, i) for i in there}, 120)
    cluster.call("scontrol", "update", f"nodename={node}", "state=resume")
    assert head.wait(timeout=1500) == 0, story.project.printed.read_text()


def state_of(cluster, job: str) -> str:
    return cluster.detail(job)["JobState"]


def by_rule(cluster, story: Story) -> dict[str, list[dict[str, str]]]:
    """The study's jobs by rule and wildcards, in the order of their submission."""
    jobs: dict[str, list[dict[str, str]]] = {}
    for job in cluster.history():
        if cluster.detail(job["id"])["WorkDir"] == str(story.project.folder):
            jobs.setdefault(job["rule"].removeprefix("rule_"), []).append(job)
    return jobs


def test_jobs_that_outlive_the_head_are_named_and_not_submitted_twice(story):
    assert story.lost == ["rule_train_wildcards_sft"]
    assert story.refused_status != 0
    (line,) = [line for line in story.refused.splitlines() if line.startswith("error:")]
    assert "found 1 jobs that an earlier start of results/mini left on the cluster" in line
    assert "train_wildcards_sft (running)" in line and "scancel --name=" in line
    assert story.submitted_by_refused == 0


def test_nothing_is_lost_and_nothing_is_done_twice(story, cluster):
    for rule, jobs in by_rule(cluster, story).items():
        assert [job["state"] for job in jobs].count("COMPLETED") == 1, (rule, jobs)
    assert len(by_rule(cluster, story)["train_wildcards_sft"]) == 1, "it ran on without its head"


def test_an_interrupt_cancels_everything(story):
    assert story.interrupted
    assert story.after_interrupt == {"CANCELLED"}


def test_a_node_that_goes_down_does_not_lose_the_study(story, cluster):
    job = cluster.detail(story.node_job)
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")


def test_a_job_that_ran_out_of_memory_succeeds_with_more(story, cluster):
    first, second = by_rule(cluster, story)["gram_wildcards_sft_0"][-2:]
    assert (first["state"], second["state"]) == ("FAILED", "COMPLETED")
    assert megabytes(second["memory"]) == 2 * megabytes(first["memory"])


def megabytes(text: str) -> int:
    """Of `4G` or `4096M`."""
    return int(float(text[:-1]) * {"M": 1, "G": 1024}[text[-1]])


def test_gpu_jobs_run_on_the_gpu_partition_and_no_others(story, cluster):
    for rule, jobs in by_rule(cluster, story).items():
        name = name_of(rule)
        expected = ("gpu", "gres:gpu:fake:1") if name in GPU_RULES else ("cpu", "N/A")
        assert {(job["partition"], job["gres"]) for job in jobs} == {expected}, rule


def test_plots_and_tables_are_made_by_the_head(story, cluster):
    names = set(map(name_of, by_rule(cluster, story)))
    assert names and not names & LOCAL_RULES


def test_there_is_nothing_left_to_do(story):
    done = story.project.snakemake(*story.study, "-n")
    assert "Nothing to be done" in done.stdout


def test_the_results_are_those_of_a_local_run(story, local):
    def files(root: Path) -> set[str]:
        paths = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
        return {path for path in paths if not path.startswith((".", "logs/", "benchmarks/"))}

    assert files(story.root) == files(local)
    for path in [*local.glob("runs/sft/factors/*/*"), *local.glob("runs/sft/gram/*")]:
        assert content(story.root / path.relative_to(local)) == content(path), path
    scores = list(local.glob("runs/sft/scores/*/*.json"))
    assert len(scores) > 8
    for path in scores:
        other = story.root / path.relative_to(local)
        one, two = (json.loads(p.read_text())["correct"] for p in (path, other))
        assert one == two, path
