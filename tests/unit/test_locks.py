"""Locks on files: one holder, free once it is killed, and file systems that have none."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alpharl import locks
from alpharl.errors import ArtefactError
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


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the system gives a user for such files."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / f"alpharl-{os.getuid()}"


def test_the_folder_of_locks_is_its_users_alone(runtime: Path) -> None:
    before = os.umask(0)
    try:
        assert locks.folder() == runtime == locks.folder()
    finally:
        os.umask(before)
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700


def linked(folder: Path) -> None:
    (folder.parent / "other").mkdir(0o700)
    folder.symlink_to("other")


def foreign(folder: Path) -> None:
    folder.mkdir(0o700)
    if os.getuid():
        pytest.skip("only root gives a folder to another user")
    os.chown(folder, 12345, 12345)


def opened(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o770)


@pytest.mark.parametrize(
    ("plant", "line"),
    [
        (linked, "found no folder, or a link to one"),
        (lambda folder: folder.symlink_to("nowhere"), "found no folder, or a link to one"),
        (Path.touch, "found no folder, or a link to one"),
        (foreign, "found a folder of the user with number 12345"),
        (opened, "found a folder that others may use (mode 770)"),
    ],
)
def test_a_planted_folder_is_refused(runtime: Path, plant, line: str) -> None:
    plant(runtime)
    with pytest.raises(ArtefactError, match=re.escape(f"{runtime}: {line}, expected a folder of")):
        locks.folder()


def socket_at(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def link_to(target: str):
    def plant(path: Path) -> None:
        (path.parent / "secret").write_text("text")
        path.symlink_to(target)

    return plant


@pytest.mark.parametrize(
    ("plant", "what"),
    [
        (link_to("secret"), "a link"),
        (link_to("new"), "a link"),
        (os.mkfifo, "a pipe"),
        (Path.mkdir, "a folder"),
        (socket_at, "a socket"),
    ],
)
@pytest.mark.parametrize("use", [locks.take, locks.is_taken, locks.open_file])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, plant, what: str, use) -> None:
    path = tmp_path / "file"
    plant(path)
    started = time.monotonic()
    with pytest.raises(ArtefactError, match=f"file: found .*{what}.*, expected a file"):
        use(path)
    assert time.monotonic() - started < 1
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "secret").exists() or (tmp_path / "secret").read_text() == "text"


def test_a_lock_is_not_handed_on_to_other_programs(tmp_path: Path) -> None:
    with locks.take(tmp_path / "file") or pytest.fail() as lock:
        listed = subprocess.run(["ls", "/proc/self/fd"], capture_output=True, text=True).stdout
        assert str(lock.fileno()) not in listed.split() and not os.get_inheritable(lock.fileno())
