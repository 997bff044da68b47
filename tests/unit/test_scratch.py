"""Temporary folders: private, gone at the end, and cleared after a process that was killed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from alpharl import scratch as module
from alpharl.scratch import lasting, scratch

HOLDER = """
import sys, time
from alpharl.scratch import lasting, scratch
with scratch("stage", sys.argv[1]) as stage:
    (stage / "copy").write_bytes(b"weights")
    (lasting("data") / "rows").write_bytes(b"rows")
    print("ready", flush=True)
    sys.stdin.read()
"""
MANY = """
from alpharl import scratch
for _ in range(300):
    scratch._clear.cache_clear()
    with scratch.scratch("data") as folder:
        (folder / "a").write_text("a")
        assert (folder / "a").read_text() == "a"
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files; each test looks at it as a new process does."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    module._clear.cache_clear()
    lasting.cache_clear()
    return tmp_path / "temporary"


def holder(temporary: Path) -> subprocess.Popen:
    """A process that has two temporary folders."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, temporary], env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout and process.stdout.readline() == b"ready\n"
    return process


def names(folder: Path) -> list[str]:
    """The first two parts of the names in a folder."""
    return sorted(path.name.rpartition("-")[0] for path in folder.iterdir())


def test_nobody_else_looks_in_and_nothing_stays(temporary: Path) -> None:
    with scratch("model") as folder:
        assert folder.parent == temporary and folder.name.startswith("alpharl-model-")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "model").mkdir()
    assert list(temporary.iterdir()) == []


def test_the_next_process_clears_what_a_killed_one_left(temporary: Path) -> None:
    killed, alive = holder(temporary), holder(temporary)
    killed.kill()
    killed.wait()
    assert names(temporary) == ["alpharl-data"] * 2 + ["alpharl-stage"] * 2
    with scratch("trial"):
        assert names(temporary) == ["alpharl-data", "alpharl-stage", "alpharl-trial"]
    assert len([*temporary.rglob("copy"), *temporary.rglob("rows")]) == 2, "of who lives"
    alive.communicate(b"")
    assert alive.returncode == 0 and list(temporary.iterdir()) == [], "an end in order"


def test_what_is_not_ours_stays(temporary: Path, tmp_path: Path) -> None:
    own = temporary / "alpharl-data-abcdefgh"
    own.mkdir()
    (own / "results").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / module._LOCK).touch()
    other = temporary / "alpharl-data-ijklmnop"
    other.mkdir()
    (other / module._LOCK).write_text("another machine")
    (temporary / "alpharl-data-qrstuvwx").mkdir()
    (temporary / "alpharl-data-qrstuvwx" / module._LOCK).symlink_to(other / module._LOCK)
    link = temporary / "alpharl-stage-abcdefgh"
    link.symlink_to(tmp_path / "elsewhere")
    with scratch("trial"):
        pass
    assert (own / "results").exists() and link.is_symlink() and (other / module._LOCK).exists()
    assert (tmp_path / "elsewhere" / module._LOCK).exists()


def test_processes_that_begin_at_once_leave_each_other_alone(temporary: Path) -> None:
    """Each looks for leftovers while the others make their folders."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    processes = [subprocess.Popen([sys.executable, "-c", MANY], env=environment) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert list(temporary.iterdir()) == []


def test_a_file_system_without_locks_is_left_as_it_is(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, no lock tells whether a folder is in use."""
    import errno
    import fcntl

    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)
    with scratch("data") as used:
        module._clear.cache_clear()
        with scratch("model"):
            assert used.exists()
    assert list(temporary.iterdir()) == []
