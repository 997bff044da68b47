"""What can be read of a site from `sinfo`, `scontrol` and `sacctmgr`."""

from __future__ import annotations

import getpass
import re
from dataclasses import dataclass, field

from alpharl.errors import ClusterError
from alpharl.slurm.commands import run


@dataclass
class Partition:
    """A partition as `sinfo` lists it."""

    name: str
    default: bool
    minutes: int | None
    """Longest time that a job may ask for; None: no limit."""
    gpus: dict[str, int] = field(default_factory=dict)
    """By model ('' where it has no name), the most that a node has."""


@dataclass(frozen=True)
class Cluster:
    """What the commands said."""

    partitions: dict[str, Partition]
    accounts: list[str]
    """This user's, the default first; empty where the site has no accounting."""
    accounting: bool
    """Whether `sacct` can tell what became of a job."""
    min_job_age: int
    """Seconds that `squeue` shows a job after its end."""
    select: str = "select/cons_tres"
    """The plugin that chooses nodes; only this one, in SLURM since 19.05, knows `--gpus`."""


def look() -> Cluster:
    """Ask the cluster.

    Raises:
        ClusterError: SLURM is not here, or does not answer.
    """
    config = run("scontrol", "show", "config")
    accounting = setting(config, "AccountingStorageType").endswith("slurmdbd")
    return Cluster(
        partitions=partitions(run("sinfo", "-h", "-o", "%P|%l|%G")),
        accounts=_accounts() if accounting else [],
        accounting=accounting,
        min_job_age=int(setting(config, "MinJobAge").split()[0]),
        select=setting(config, "SelectType"),
    )


def setting(config: str, key: str) -> str:
    """A value in what `scontrol show config` prints.

    Raises:
        ClusterError: it is not there.
    """
    match = re.search(rf"^{key}\s*=\s*(.+)$", config, re.MULTILINE)
    if match is None:
        raise ClusterError(f"found no {key} in `scontrol show config`, expected it; is this SLURM?")
    return match[1].strip()


def partitions(text: str) -> dict[str, Partition]:
    """Partitions from `sinfo -h -o '%P|%l|%G'`, which prints a line for each type of node."""
    by_name: dict[str, Partition] = {}
    for line in text.splitlines():
        name, limit, gres = line.strip().split("|")
        default, name = name.endswith("*"), name.removesuffix("*")
        partition = by_name.setdefault(name, Partition(name, default, minutes(limit)))
        for model, count in gpus(gres).items():
            partition.gpus[model] = max(count, partition.gpus.get(model, 0))
    return by_name


def minutes(limit: str) -> int | None:
    """Minutes of a SLURM time, `[days-]hours:minutes:seconds` or shorter; None for no limit."""
    if limit in ("infinite", "n/a"):
        return None
    days, _, clock = limit.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    # `sinfo` prints minutes:seconds where there are no hours.
    hours, mins = (parts[0], parts[1]) if len(parts) == 3 else (0, parts[0])
    return int(days or 0) * 1440 + hours * 60 + mins


def gpus(gres: str) -> dict[str, int]:
    """GPUs by model in a node's generic resources, such as `gpu:a100:4(S:0-1),lustre:1`."""
    by_model: dict[str, int] = {}
    for word in re.sub(r"\([^)]*\)", "", gres).split(","):
        match = re.fullmatch(r"gpu(?::([^:]+))?:(\d+)", word)
        if match:
            by_model[match[1] or ""] = by_model.get(match[1] or "", 0) + int(match[2])
    return by_model


def _accounts() -> list[str]:
    user = getpass.getuser()
    default = run("sacctmgr", "-nP", "show", "user", user, "format=defaultaccount").split()
    every = run("sacctmgr", "-nP", "show", "assoc", f"user={user}", "format=account").split()
    return list(dict.fromkeys([*default, *every]))
