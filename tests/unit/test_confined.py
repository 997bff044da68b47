"""Programs of others in a process with limits: real loops, real memory, real kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from alpharl import locks
from alpharl.confined import Confined, Failed, Overrun


def programs(name: str) -> Any:
    """What some programs do."""
    match name:
        case "answers":
            return {"pid": os.getpid(), "text": "zwölf\ud800\n"}
        case "loops":
            while True:
                pass
        case "loops in C":  # no signal handler of Python's runs here
            return len(str(9 ** (9**9)))
        case "backtracks":
            import re

            return re.match(r"(a+)+$", "a" * 50 + "b")
        case "sleeps":
            time.sleep(60)
        case "fills memory":
            return len(bytes(1 << 30))
        case "raises":
            raise LookupError("no\nsuch thing " + "x" * 5000)
        case "recurses":
            return programs("recurses")
        case "exits":
            sys.exit(3)
        case "aborts":
            os.kill(os.getpid(), signal.SIGKILL)
        case "is no JSON":
            return object()
    return None


@pytest.fixture
def confined():
    made = Confined(programs, gib=0.5)
    yield made
    made.close()


def exists(pid: int) -> bool:
    """Whether a process lives; of an orphan, whoever adopts it may not collect what is left."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_it_answers_again_and_again_from_another_process(confined):
    pids = [confined.ask("answers", 5)["pid"] for _ in range(3)]
    assert len({*pids}) == 1 and os.getpid() not in pids
    assert confined.ask("answers", 5)["text"] == "zwölf\ud800\n"
    confined.close()
    assert not Path(f"/proc/{pids[0]}").exists(), "collected"


@pytest.mark.parametrize("name", ["loops", "loops in C", "backtracks", "sleeps"])
def test_time_is_limited(confined, name):
    pid, started = confined.ask("answers", 5)["pid"], time.monotonic()
    with pytest.raises(Overrun, match="takes more than 0 seconds"):
        confined.ask(name, 0.3)
    assert time.monotonic() - started < 5
    assert not confined.is_mine and not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("fills memory", "MemoryError"),
        ("raises", "LookupError"),
        ("recurses", "RecursionError"),
        ("is no JSON", "TypeError"),
    ],
)
def test_errors_come_back_and_it_goes_on(confined, name, kind):
    with pytest.raises(Failed) as error:
        confined.ask(name, 5)
    assert error.value.args[0] == kind and len(error.value.args[1]) <= 1000
    assert confined.ask("answers", 5)


@pytest.mark.parametrize("name", ["exits", "aborts"])
def test_an_end_is_told(confined, name):
    with pytest.raises(Overrun, match=r"takes more than 0.5 GiB of memory, or ends its process"):
        confined.ask(name, 5)


def test_any_thread_may_ask(confined):
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(confined.ask("answers", 5)["pid"]))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 5 and len({*answers}) == 1


def test_large_messages_go_both_ways():
    confined = Confined(lambda text: text[::-1], gib=0.5)
    assert confined.ask("ab" * 5_000_000, 20) == "ba" * 5_000_000


def test_it_does_not_keep_the_locks_of_its_caller(tmp_path):
    lock = locks.take(tmp_path / "file")
    assert lock
    confined = Confined(programs, gib=0.5)
    assert confined.ask("answers", 5) and locks.is_taken(tmp_path / "file")
    lock.close()
    assert not locks.is_taken(tmp_path / "file")
    confined.close()


CALLER = """
import os, sys, time
from alpharl.confined import Confined
first, second = (Confined(lambda _: os.getpid(), 0.5) for _ in range(2))
print(first.ask(None, 5), second.ask(None, 5), flush=True)
time.sleep(600)
"""


def test_it_ends_with_a_caller_that_is_killed():
    caller = subprocess.Popen([sys.executable, "-c", CALLER], stdout=subprocess.PIPE, text=True)
    assert caller.stdout
    pids = [int(pid) for pid in caller.stdout.readline().split()]
    assert all(map(exists, pids))
    caller.kill()
    caller.wait()
    until = time.monotonic() + 10
    while any(map(exists, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(exists, pids))
