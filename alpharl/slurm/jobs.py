"""Jobs on the cluster that outlive the workflow which submitted them.

The executor gives all jobs of one start of Snakemake one name. It is written into the study's
folder before the first is submitted, so that a later start can ask for them, however the earlier
one ended.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from alpharl.checkpoints.files import write_text
from alpharl.errors import ClusterError
from alpharl.slurm.commands import run

_RECORD = ".slurm-jobs"
_LISTED = 8
"""Jobs that an error names one by one."""


@dataclass(frozen=True)
class Job:
    """A job that SLURM has not finished."""

    id: str
    state: str
    rule: str
    """Rule and wildcards, as the executor puts them into the job's comment."""

    def __str__(self) -> str:
        return f"{self.id} {self.rule.removeprefix('rule_')} ({self.state.lower()})"


def claim(root: str, names: list[str]) -> None:
    """Record the name of this start's jobs, unless jobs of an earlier one are still there.

    Args:
        root: the study's folder.
        names: that the executor gives to this start's jobs; none with another executor.

    Raises:
        ClusterError: the earlier jobs by id, rule and state; or SLURM does not answer.
    """
    record = Path(root) / _RECORD
    earlier = _recorded(record)
    left = _unfinished(earlier)
    if left:
        shown = ", ".join(map(str, left[:_LISTED]))
        more = f" and {len(left) - _LISTED} more" if len(left) > _LISTED else ""
        raise ClusterError(
            f"found {len(left)} jobs that an earlier start of {root} left on the cluster, "
            f"expected none: {shown}{more}; wait until they end, which keeps what they make, "
            f"or cancel them: scancel --name={','.join(earlier)}"
        )
    if earlier or names:
        write_text(record, "".join(f"{name}\n" for name in names))


def left(root: str) -> list[Job]:
    """Jobs that a start of the study, over or not, has on the cluster.

    Raises:
        ClusterError: SLURM does not answer.
    """
    return _unfinished(_recorded(Path(root) / _RECORD))


def cancel_left(root: str) -> None:
    """Cancel jobs of this start that are still there when it ends.

    The executor forgets jobs whose state it asks for in the moment of an interrupt.

    Raises:
        ClusterError: SLURM does not answer.
    """
    names = _recorded(Path(root) / _RECORD)
    if _unfinished(names):
        run("scancel", f"--name={','.join(names)}")


def _recorded(record: Path) -> list[str]:
    return record.read_text().split() if record.is_file() else []


def _unfinished(names: list[str]) -> list[Job]:
    """Jobs of these names; none where SLURM is not there, as for a study that was copied."""
    if not names or shutil.which("squeue") is None:
        return []
    lines = run("squeue", "-h", f"--name={','.join(names)}", "-o", "%i|%T|%k").splitlines()
    return [Job(*line.split("|", 2)) for line in lines]
