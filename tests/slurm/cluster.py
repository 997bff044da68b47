"""A real SLURM on this machine: controller, two virtual nodes with four fake GPUs each.

The daemons run from a private folder. One file lies outside it: `/etc/slurm/slurm.conf`, because
the executor's job step drops `SLURM_CONF` before it calls `srun`. What was there is put back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

PACKAGES = ["slurmctld", "slurmd", "slurm-client", "munge"]
COMMANDS = ["slurmctld", "slurmd", "sbatch", "munged"]
SITE_CONF = Path("/etc/slurm/slurm.conf")
NODES = ["n1", "n2"]
GPUS = 4
MEMORY_MB = 64_000

CONF = """
ClusterName=test
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16817
AuthType=auth/munge
AuthInfo=socket={run}/munge/sock
CredType=cred/munge
StateSaveLocation={run}/state
SlurmdSpoolDir={run}/spool/%n
SlurmctldPidFile={run}/slurmctld.pid
SlurmdPidFile={run}/slurmd-%n.pid
SlurmctldLogFile={run}/log/slurmctld.log
SlurmdLogFile={run}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=1
EnforcePartLimits=ALL
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=5,batch_sched_delay=1,sched_min_interval=100000,sched_interval=2
GresTypes=gpu
MinJobAge=3600
KillWait=3
JobAcctGatherType=jobacct_gather/linux
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=cpu Nodes=n1,n2 Default=YES MaxTime=2-00:00:00 State=UP
PartitionName=gpu Nodes=n1,n2 MaxTime=1-00:00:00 State=UP
PartitionName=urgent Nodes=n1,n2 MaxTime=1-00:00:00 State=UP PriorityTier=10
"""
CPUS = 4
"""Of a node. They decide how many jobs run at once, so they are few; they need not be there."""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} Boards=1 "
    "SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory={memory} "
    "Gres=gpu:fake:{gpus}\n"
)
GRES = "AutoDetect=off\nNodeName=n1,n2 Name=gpu Type=fake File={run}/gpu[0-{last}]\n"


def install() -> None:
    """Install Debian's packages; skip the tests, and say why, where that cannot be."""
    os.environ["PATH"] += os.pathsep + "/usr/sbin"  # of daemons; not all have it in theirs
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip(f"no {', '.join(missing)}; installing {', '.join(PACKAGES)} needs root's apt")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(
            ["apt-get", "-q", *command], env=environment, capture_output=True, text=True
        )
        if done.returncode != 0:
            pytest.skip(f"apt-get {command[0]} failed: {done.stderr.strip().splitlines()[-1]}")


class Cluster:
    """The running cluster, asked with SLURM's own commands."""

    def call(self, *command: str) -> str:
        """What a SLURM command prints; it must succeed within a minute."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def queue(self) -> list[dict[str, str]]:
        """Jobs that are not over."""
        return self._jobs("squeue", "--states=PD,R,CF,CG,S")

    def history(self) -> list[dict[str, str]]:
        """All jobs since the cluster started, over or not, oldest first."""
        return sorted(self._jobs("squeue", "--states=all"), key=lambda job: int(job["id"]))

    def _jobs(self, *command: str) -> list[dict[str, str]]:
        keys = ["id", "state", "partition", "memory", "gres", "nodes", "rule"]
        lines = self.call(*command, "-h", "-o", "%i|%T|%P|%m|%b|%N|%k").splitlines()
        return [dict(zip(keys, line.split("|", len(keys) - 1), strict=True)) for line in lines]

    def detail(self, job: str) -> dict[str, str]:
        """Everything that `scontrol` knows of one job."""
        words = self.call("scontrol", "show", "job", "-o", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self, what: str, holds: Callable[[], bool], seconds: float = 300) -> None:
        """Wait until something holds; fail with the queue if it does not in time."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}: {self.history()}"
            time.sleep(0.2)

    def wait_empty(self, seconds: float = 300) -> None:
        """Wait until no job is left."""
        self.wait("an empty queue", lambda: not self.queue(), seconds)

    def cancel_all(self) -> None:
        """Cancel what is left, and wait until it is gone: a job's steps outlive their daemon."""
        self.call("scancel", "--full", "--user=root")
        self.wait_empty(60)


@contextlib.contextmanager
def started(cpus: int = CPUS) -> Iterator[Cluster]:
    """Start the cluster in a folder of its own, and take everything down at the end.

    Args:
        cpus: of each node.
    """
    cluster = Cluster()
    with _alone(), tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        run = Path(folder)
        run.chmod(0o755)  # munged is not root, and must reach its socket
        _write_configuration(run, cpus)
        with _site_configuration(run / "slurm.conf"):
            try:
                _start(run)
                cluster.wait("idle nodes", lambda: _idle() == len(NODES), 60)
                yield cluster
                cluster.cancel_all()
            finally:
                _stop(run)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait for other tests on this machine: ports and `/etc/slurm` are there once."""
    with (Path(tempfile.gettempdir()) / "alpharl-tests-slurm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_configuration(run: Path, cpus: int) -> None:
    host = socket.gethostname().partition(".")[0]
    for folder in ("state", "log", "munge", *(f"spool/{name}" for name in NODES)):
        (run / folder).mkdir(parents=True)
    nodes = [
        NODE.format(name=name, host=host, port=17001 + i, cpus=cpus, memory=MEMORY_MB, gpus=GPUS)
        for i, name in enumerate(NODES)
    ]
    # Partitions name nodes, which stand before them.
    head, partitions = CONF.format(host=host, run=run).split("PartitionName", 1)
    text = f"{head}{''.join(nodes)}PartitionName{partitions}"
    (run / "slurm.conf").write_text(text)
    (run / "gres.conf").write_text(GRES.format(run=run, last=GPUS - 1))
    for i in range(GPUS):
        _check("mknod", "-m", "666", str(run / f"gpu{i}"), "c", "1", "3")  # as /dev/null


@contextlib.contextmanager
def _site_configuration(conf: Path) -> Iterator[None]:
    """Have `/etc/slurm/slurm.conf` lead to ours, and put back what was there."""
    before = SITE_CONF.with_name("slurm.conf.before-tests")
    SITE_CONF.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(SITE_CONF):
        SITE_CONF.rename(before)
    SITE_CONF.symlink_to(conf)
    try:
        yield
    finally:
        SITE_CONF.unlink()
        if os.path.lexists(before):
            before.rename(SITE_CONF)


def _start(run: Path) -> None:
    munge = run / "munge"
    (munge / "key").write_bytes(os.urandom(128))
    _check("chown", "-R", "munge:munge", str(munge))
    (munge / "key").chmod(0o400)
    munge.chmod(0o755)
    _check(
        *("setpriv", "--reuid", "munge", "--regid", "munge", "--clear-groups", "munged", "--force"),
        *(f"--{name}-file={munge}/{name}" for name in ("key", "pid", "log", "seed")),
        f"--socket={munge}/sock",
    )
    environment = os.environ | {"SLURM_CONF": str(run / "slurm.conf")}
    _check("slurmctld", environment=environment)
    for name in NODES:
        _check("slurmd", "-N", name, environment=environment)


def _check(*command: str, environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, env=environment, check=True, timeout=60)


def _idle() -> int:
    done = subprocess.run(
        ["sinfo", "-h", "-N", "-p", "cpu", "-t", "idle"], capture_output=True, text=True, timeout=10
    )
    return len(done.stdout.splitlines())


def _stop(run: Path) -> None:
    pids = [*(run / f"slurmd-{name}.pid" for name in NODES), run / "slurmctld.pid"]
    for path in [*pids, run / "munge" / "pid"]:
        if path.is_file():
            _end(int(path.read_text()))


def _end(pid: int, signals: Sequence[int] = (signal.SIGTERM, signal.SIGKILL)) -> None:
    """End a daemon of ours; the kind way first."""
    for number in signals:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        for _ in range(50):
            if not _runs(pid):
                return
            time.sleep(0.1)


def _runs(pid: int) -> bool:
    """Whether the process lives; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
