"""From what a cluster told, and what the user says, to the facts that a profile needs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from alpharl.errors import ClusterError, nearest
from alpharl.slurm.site import Cluster, Partition

STATUS_SECONDS = 40
"""Before a job's state is asked for the first time: the executor's default."""


@dataclass(frozen=True)
class Site:
    """The facts of a site."""

    partition: str
    gpu_partition: str | None = None
    gpus: int = 0
    """The most GPUs that a node of the GPU partition has."""
    gpu_model: str | None = None
    gres: bool = False
    """Whether GPUs are asked for with `--gres` instead of `--gpus`."""
    account: str | None = None
    minutes: int | None = None
    """The longest that every job may run; None: no limit."""
    status: str = "sacct"
    status_seconds: int = STATUS_SECONDS


def choose(
    cluster: Cluster,
    account: str | None = None,
    partition: str | None = None,
    gpu_partition: str | None = None,
    gpu_model: str | None = None,
    gpu_syntax: str | None = None,
) -> Site:
    """The site's facts; what is given counts, the rest is guessed, and asked for as a last resort.

    Raises:
        ClusterError: something given is not there, or nobody is there to be asked.
    """
    cpu = cluster.partitions[partition_for_cpus(cluster.partitions, partition)]
    gpu_name = partition_for_gpus(cluster.partitions, cpu.name, gpu_partition)
    gpu = cluster.partitions[gpu_name] if gpu_name else None
    if gpu_model:
        _among(gpu_model, gpu.gpus if gpu else [], "GPU model", "--gpu-model")
    limits = [p.minutes for p in (cpu, gpu) if p is not None and p.minutes is not None]
    status, seconds = _status(cluster)
    return Site(
        partition=cpu.name,
        gpu_partition=gpu_name,
        gpus=sum(gpu.gpus.values()) if gpu else 0,
        gpu_model=gpu_model,
        gres=_syntax(cluster, gpu_syntax) == "gres",
        account=account or _account(cluster.accounts),
        minutes=min(limits, default=None),
        status=status,
        status_seconds=seconds,
    )


def partition_for_cpus(partitions: dict[str, Partition], given: str | None) -> str:
    """SLURM's default partition, unless that has GPUs and others have none."""
    if given:
        return _among(given, partitions, "partition", "--partition")
    plain = [name for name, partition in partitions.items() if not partition.gpus]
    candidates = plain or list(partitions)
    default = [name for name in candidates if partitions[name].default]
    return _one(default or candidates, "partition for jobs without GPUs", "--partition")


def partition_for_gpus(partitions: dict[str, Partition], cpu: str, given: str | None) -> str | None:
    """The partition with GPUs; of several, the one whose name says so. None if there is none."""
    if given:
        return _among(given, partitions, "partition", "--gpu-partition")
    having = [name for name, partition in partitions.items() if partition.gpus]
    others = [name for name in having if name != cpu] or having
    named = [name for name in others if "gpu" in name.lower()] or others
    return _one(named, "partition for jobs with GPUs", "--gpu-partition") if named else None


def _account(accounts: list[str]) -> str | None:
    """The user's default comes first; none where the site keeps no accounts."""
    return accounts[0] if accounts else None


def _syntax(cluster: Cluster, given: str | None) -> str:
    return given or ("gpus" if cluster.select == "select/cons_tres" else "gres")


def _status(cluster: Cluster) -> tuple[str, int]:
    """The command to ask for the state of jobs, and seconds to wait before the first time.

    The executor falls back to sacct where `squeue` forgets jobs within three times its first wait.
    """
    if cluster.accounting:
        return "sacct", STATUS_SECONDS
    seconds = min(STATUS_SECONDS, cluster.min_job_age // 3)
    if seconds < 1:
        raise ClusterError(
            f"found no accounting, and jobs that leave squeue {cluster.min_job_age} s after the "
            "end, expected either slurmdbd or MinJobAge of 3 s at least; ask the site"
        )
    return "squeue", seconds


def _among(given: str, valid: Iterable[str], what: str, option: str) -> str:
    names = [name for name in valid if name]
    if given not in names:
        raise ClusterError(
            f"{option} {given}: found no such {what} on this cluster; "
            + (nearest(given, names) if names else "it has none")
        )
    return given


def _one(names: list[str], what: str, option: str) -> str:
    if len(names) == 1:
        return names[0]
    if not sys.stdin.isatty():
        raise ClusterError(
            f"found {len(names)} that can be the {what} ({', '.join(names)}), expected one; "
            f"name it with {option}"
        )
    answer = input(f"Which {what}? {', '.join(names)}: ").strip()
    return _among(answer, names, what, option)
