"""What the profile asks SLURM for, with jobs of no work."""

from __future__ import annotations

import signal
import time

import pytest

from tests.slurm.cluster import GPUS, NODES

GPU_JOB = """
rule gpus:
    output: "gpus.txt"
    resources: gpu=2, mem_mb=100, runtime=5
    shell: "echo $CUDA_VISIBLE_DEVICES $(hostname) >> {output}"
"""
CPU_JOBS = """
include: "workflow/Snakefile"
rule sleep:
    output: "done/{i}"
    resources: mem_mb=100, runtime=5
    shell: "sleep 300; touch {output}"
"""


@pytest.fixture
def toy(project):
    """`toy(text, *options)`: the options that make the project's workflow this one."""

    def write(text: str, *options: str) -> list[str]:
        (project.folder / "toy.smk").write_text(text)
        return ["--snakefile", "toy.smk", *options]

    return write


def submitted(cluster, since: int) -> list[dict[str, str]]:
    return [job for job in cluster.history() if int(job["id"]) > since]


@pytest.fixture
def before(cluster) -> int:
    """The last job's number when the test begins."""
    return max((int(job["id"]) for job in cluster.history()), default=0)


@pytest.mark.sample
def test_the_profile_says_what_the_cluster_told(project):
    assert (
        "partition: cpu\nGPUs: gpu, 4 a node, model any, by --gpus\naccount: none" in project.told
    )
    text = (project.folder / "slurm" / "config.yaml").read_text()
    assert "slurm-status-command: squeue" in text, "for there is no accounting"
    assert "\n  runtime: 1440\n" in text, "the shorter of both partitions"


@pytest.mark.sample
def test_a_job_of_two_gpus_runs_once_on_one_node_and_sees_both(cluster, project, toy, before):
    """Also where each node has too few free, so that two nodes together would do."""
    filler = ["sbatch", "--parsable", "-p", "gpu", f"--gpus={GPUS - 1}", "--nodes=1", "--mem=100"]
    fillers = [
        cluster.call(*filler, f"-w{node}", "-o/dev/null", "--wrap=sleep 300").strip()
        for node in NODES
    ]
    head = project.start(*toy(GPU_JOB))
    ours = fillers[-1]

    def state() -> str:
        jobs = submitted(cluster, int(ours))
        return jobs[0]["state"] if jobs else "NONE"

    cluster.wait("the job of two GPUs", lambda: state() == "PENDING", 60)
    time.sleep(8)  # two rounds of the scheduler
    assert state() == "PENDING", "one GPU of each node is not what was asked for"
    cluster.call("scancel", fillers[0])
    assert head.wait(timeout=120) == 0, project.printed.read_text()
    (job,) = submitted(cluster, int(ours))
    cluster.call("scancel", fillers[1])
    assert (job["partition"], job["nodes"], job["state"]) == ("gpu", "n1", "COMPLETED")
    lines = (project.folder / "gpus.txt").read_text().splitlines()
    assert len(lines) == 1, "one task, however many GPUs"
    assert len(set(lines[0].split()[0].split(","))) == 2


def test_a_gpu_model_is_asked_for_by_jobs_with_gpus_alone(project, toy, small):
    profile = project.folder / "slurm" / "config.yaml"
    line = "gpu_model: \"'fake'\""
    profile.write_text(profile.read_text().replace("# gpu_model: \"'a100'\"", line))
    # A dry run shows no resources of rules that have a message.
    text = """
from types import SimpleNamespace
include: "workflow/Snakefile"
job = SimpleNamespace(run="sft", suite="test", base="tiny", shard="0", variant="rank-1@6")
for name in ("pretrain", "train", "gram", "evaluate_variants", "rank", "dynamics", "measures"):
    asked = workflow.get_rule(name).resources["gpu_model"]
    print("RULE", name, asked.evaluate(job, input=[], attempt=1, threads=1).value)
"""
    study = project.study(small | {"gpus": 1})
    done = project.snakemake(*study, *toy(text, "-n"))
    assert done.returncode == 0, done.stdout
    asked = dict(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("RULE"))
    for name in ("pretrain", "train", "gram", "evaluate_variants"):
        assert asked[name] == "fake", name
    for name in ("rank", "dynamics", "measures"):
        assert asked[name] == "None", name


@pytest.mark.sample
def test_gpus_are_asked_for_by_gres_where_the_profile_says_so(cluster, project, toy, small, before):
    profile = project.folder / "slurm" / "config.yaml"
    lines = {"# gpu_syntax": "gpu_syntax", "# gpu_model: \"'a100'\"": "gpu_model: \"'fake'\""}
    text = profile.read_text()
    for old, new in lines.items():
        assert old in text
        text = text.replace(old, new)
    profile.write_text(text)
    rules = """
from alpharl.cost.need import Need
include: "workflow/Snakefile"
rule cards:
    output: "cards.txt"
    resources: **asks(lambda w: Need(memory=1e8, seconds=1, gpus=2))
    shell: "echo {resources.gpus} $CUDA_VISIBLE_DEVICES > {output}"
rule none:
    output: "none.txt"
    resources: **asks(lambda w: Need(memory=1e8, seconds=1))
    shell: "echo {resources.gpus} > {output}"
"""
    study = project.study(small | {"gpus": 1})
    done = project.snakemake("cards.txt", "none.txt", *study, *toy(rules))
    assert done.returncode == 0, done.stdout
    jobs = {name: job for job in submitted(cluster, before) for name in [job["rule"]]}
    assert jobs["rule_cards"]["gres"] == "gres:gpu:fake:2"
    assert (jobs["rule_cards"]["partition"], jobs["rule_none"]["partition"]) == ("gpu", "cpu")
    assert jobs["rule_none"]["gres"] == "N/A"
    count, cards = (project.folder / "cards.txt").read_text().split()
    assert count == "2" and len(set(cards.split(","))) == 2
    assert (project.folder / "none.txt").read_text() == "0\n"


@pytest.mark.sample
def test_an_impossible_request_is_refused_with_a_clear_line(cluster, project, toy):
    text = GPU_JOB.replace("mem_mb=100", "mem_mb=10_000_000")
    done = project.snakemake(*toy(text, "--retries", "0"))
    assert done.returncode != 0
    assert "sbatch: error: Memory specification can not be satisfied" in done.stdout
    assert cluster.queue() == []


def test_too_many_gpus_are_refused_with_a_clear_line(cluster, project, toy):
    done = project.snakemake(*toy(GPU_JOB.replace("gpu=2", "gpu=5"), "--retries", "0"))
    assert done.returncode != 0
    assert "sbatch: error: Batch job submission failed: Requested node config" in done.stdout
    assert cluster.queue() == []


def test_no_job_asks_for_more_time_than_there_is(cluster, project, toy, before):
    done = project.snakemake(*toy(GPU_JOB.replace("runtime=5", "runtime=5000")))
    assert done.returncode == 0, done.stdout
    (job,) = submitted(cluster, before)
    assert cluster.detail(job["id"])["TimeLimit"] == "1-00:00:00"


@pytest.mark.sample
def test_an_interrupt_cancels_everything(cluster, project, toy, before, small):
    """Also in the moment in which the executor forgets its jobs: soon after they start."""
    targets = [f"done/{i}" for i in range(3)]
    head = project.start(*targets, *project.study(small), *toy(CPU_JOBS))
    cluster.wait("running jobs", lambda: len(_running(cluster, before)) == 3, 120)
    head.send_signal(signal.SIGINT)
    assert head.wait(timeout=120) != 0
    cluster.wait_empty(60)
    states = {job["state"] for job in submitted(cluster, before)}
    assert states == {"CANCELLED"}
    assert not (project.folder / "done").exists() or not list(project.folder.glob("done/*"))


def _running(cluster, before: int) -> list[dict[str, str]]:
    return [job for job in submitted(cluster, before) if job["state"] == "RUNNING"]
