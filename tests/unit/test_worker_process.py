"""A child that answers in lines, fails, dies, or leaves processes behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from alpharl.errors import EvaluationError
from alpharl.evaluation.engines.worker_process import WorkerProcess

ECHO = """
import json, subprocess, sys
for line in sys.stdin:
    request = json.loads(line)
    if "leave" in request:
        # Holds the same output open, as a forked process of vLLM does.
        subprocess.Popen(["sleep", "600"])
    if "die" in request:
        print("first", "the cause", sep="\\n", file=sys.stderr)
        sys.exit(3)
    answer = {"error": "no such thing"} if "fail" in request else {"got": request}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture(autouse=True)
def logs(tmp_path, monkeypatch) -> Path:
    """Folder of the logs, those of failures too."""
    folder = tmp_path / "logs"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def child(tmp_path):
    script = tmp_path / "echo.py"
    script.write_text(ECHO)
    child = WorkerProcess([sys.executable, script], os.environ)
    yield child
    child.close()


def group(pid: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(pgrp) == pid and state != "Z":
            found.append(int(stat.parent.name))
    return found


def test_lines_go_both_ways(child):
    for number in range(3):
        child.send({"number": number, "text": "zwölf\n"})
        assert child.receive() == {"got": {"number": number, "text": "zwölf\n"}}


def test_reported_error_names_the_child(child):
    child.send({"fail": 1})
    with pytest.raises(EvaluationError, match=r"^echo.py: no such thing; all that it wrote: "):
        child.receive()


def test_death_is_told_with_status_and_last_lines(child):
    child.send({"die": 1})
    told = r"^echo.py ended with status 3 before it answered; its last lines: first \| the cause; "
    with pytest.raises(EvaluationError, match=told) as error:
        child.receive()
    child.close()
    log = Path(str(error.value).rpartition(": ")[2])
    assert log.read_text() == "first\nthe cause\n", "stays for the user"


def test_log_is_removed_where_nothing_failed(child, logs):
    assert len([*logs.rglob("*.log")]) == 1
    child.close()
    assert not list(logs.iterdir())


@pytest.mark.parametrize("killed", [True, False])
def test_what_the_child_has_started_ends_with_it(child, killed):
    child.send({"leave": 1})
    child.receive()
    assert len(group(child.pid)) == 2
    if killed:
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(EvaluationError, match="killed by signal 9"):
            child.receive()
        with pytest.raises(EvaluationError, match="killed by signal 9"):
            child.send({"number": 1})
    else:
        child.close()
    deadline = time.monotonic() + 10  # a signal that was sent is not yet an end
    while group(child.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert group(child.pid) == []


def test_child_ends_when_its_parent_is_killed(tmp_path):
    script = tmp_path / "echo.py"
    script.write_text(ECHO)
    code = (
        "import os, sys, time\n"
        "from alpharl.evaluation.engines.worker_process import WorkerProcess\n"
        f"child = WorkerProcess([sys.executable, {str(script)!r}], os.environ)\n"
        "print(child.pid, flush=True)\ntime.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    assert group(pid) == [pid]
    parent.kill()
    parent.wait()
    until = time.monotonic() + 10
    while group(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert group(pid) == []
