"""Locks on files: one holder, free once it is killed, and file systems that have none."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from alpharl import locks
from alpharl.training.processes import alone
from alpharl.training.spec import TrainSpec
from tests.unit.trainees import base

__all__ = ["base"]

HOLDER = """
import sys, time
from pathlib import Path
from alpharl import locks
held = locks.take(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_one_holds_it_until_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    assert not locks.is_taken(path) and not path.exists()
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdout.readline() == b"held\n"
    assert locks.is_taken(path) and locks.take(path) is None
    holder.kill()
    holder.wait()
    assert not locks.is_taken(path)
    held = locks.take(path)
    assert held and locks.take(path) is None
    held.close()
    assert locks.take(path)


def test_looking_does_not_refuse_the_file_to_who_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`alpharl status` in the moment in which a study starts."""
    path = tmp_path / "file"
    path.touch()
    with path.open() as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        monkeypatch.setattr(locks.time, "sleep", lambda _: fcntl.flock(look, fcntl.LOCK_UN))
        assert locks.take(path)


def test_content_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("who")
    with locks.take(path) or pytest.fail():
        assert locks.take(path) is None
    assert path.read_text() == "who"


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_systems_without_locks_do_not_stop_anything(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is none on the machines of these tests: what one says is put in flock's place."""

    def refused(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refused)
    assert locks.take(tmp_path / "file")
    assert not locks.is_taken(tmp_path / "file")


def test_other_errors_are_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(OSError, match="error"):
        locks.take(tmp_path / "file")


def test_a_run_is_trained_by_one_process_at_a_time(base: Path, tmp_path: Path, cli) -> None:
    """A job outlives a Snakemake that is killed: what is started again must not write beside it."""
    spec = TrainSpec(algorithm="random-walk", steps=1, save_every=1).model_dump_json()
    out, manifests = tmp_path / "run", tmp_path / "step-{step}.json"
    asked = ("train", "--spec", spec, "--base", base, "--out", out, "--manifests", manifests)
    with alone(out):
        refused = cli(*asked)
        assert refused.status == 1 and not list(out.glob("step-*"))
        assert (
            f"found process {os.getpid()} that trains there" in refused.err
            and len(refused.err.splitlines()) == 1
        )
    assert cli(*asked).status == 0
    assert (out / "step-1").is_dir() and (tmp_path / "step-1.json").exists()
