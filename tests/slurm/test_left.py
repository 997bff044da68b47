"""Jobs of an earlier start: found, and cancelled, by the name that the study's folder keeps."""

from __future__ import annotations

import pytest
from alpharl.errors import ClusterError
from alpharl.slurm.jobs import cancel_left, claim, left

pytestmark = pytest.mark.sample


def submit(cluster, name: str, count: int) -> None:
    for i in range(count):
        comment = f"--comment=rule_rank_wildcards_rl_rank-{i}@6"
        where = ["-D", "/tmp", "-o/dev/null", "--mem=100", f"--job-name={name}", comment]
        cluster.call("sbatch", *where, "--wrap=sleep 300")


def named(cluster, name: str) -> list[str]:
    return cluster.call("squeue", "-h", f"--name={name}", "-o", "%i").split()


def test_they_are_named_and_nothing_is_claimed_until_they_are_gone(cluster, tmp_path):
    claim(str(tmp_path), ["first-uuid"])
    submit(cluster, "first-uuid", 10)
    with pytest.raises(ClusterError, match="found 10 jobs") as error:
        claim(str(tmp_path), ["second-uuid"])
    assert len(left(str(tmp_path))) == 10, "which `alpharl status` lists"
    line = str(error.value)
    assert "\n" not in line
    assert "rank_wildcards_rl_rank-0@6 (" in line
    assert "and 2 more" in line and line.endswith("scancel --name=first-uuid")
    cluster.call(*line.split("them: ")[1].split())
    cluster.wait_empty(60)
    claim(str(tmp_path), ["second-uuid"])
    claim(str(tmp_path), ["third-uuid"])


def test_those_that_the_executor_forgot_are_cancelled(cluster, tmp_path):
    claim(str(tmp_path), ["ours-uuid"])
    submit(cluster, "ours-uuid", 1)
    submit(cluster, "other-uuid", 1)
    cancel_left(str(tmp_path))
    cluster.wait("the end of ours", lambda: not named(cluster, "ours-uuid"), 60)
    assert named(cluster, "other-uuid"), "those of another study are left alone"
    cluster.cancel_all()
