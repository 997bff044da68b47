"""Cards go to one job at a time, between real processes on a fake `nvidia-smi`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alpharl.errors import DeviceError
from alpharl.gpu import allot, require_visible
from alpharl.progress import Progress

HOLD = """
import os, sys
from alpharl.gpu import allot
from alpharl.progress import Progress

class Loud(Progress):
    def line(self, text):
        print(text, flush=True)

with allot(int(sys.argv[1]), Loud()):
    print("holds", os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.readline()
"""
"""A job that takes cards and keeps them until its standard input ends."""

Start = Callable[[int], subprocess.Popen[str]]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`machine(3)` is a machine with three cards and no locks."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def make(cards: int) -> None:
        smi = tmp_path / "bin" / "nvidia-smi"
        ids = "".join(f"echo {card}\n" for card in range(cards))
        check = '[ "$*" = "--query-gpu=index --format=csv,noheader" ] || exit 9\n'
        smi.write_text(f"#!/bin/sh\n{check}{ids}")
        smi.chmod(0o755)

    return make


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(2)` starts a job that wants two cards; whatever still runs at the end is killed."""
    jobs: list[subprocess.Popen[str]] = []

    def begin(count: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(count)]
        pipe = subprocess.PIPE
        jobs.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
        return jobs[-1]

    yield begin
    for job in jobs:
        job.kill()
        job.communicate()


def line(job: subprocess.Popen[str]) -> str:
    """The next line that a job prints."""
    assert job.stdout is not None
    return job.stdout.readline().strip()


def holds(job: subprocess.Popen[str]) -> set[str]:
    """The cards that a job says it holds."""
    word, cards = line(job).split()
    assert word == "holds"
    return set(cards.split(","))


def end(job: subprocess.Popen[str]) -> None:
    """Let a job finish by itself."""
    job.communicate()
    assert job.returncode == 0


class Fail(Progress):
    """For jobs that must not wait."""

    def line(self, text: str) -> None:
        raise AssertionError(text)


fail = Fail()


def test_jobs_side_by_side_never_share_a_card(machine, start):
    machine(3)
    jobs = [start(1) for _ in range(3)]
    assert sorted(card for job in jobs for card in holds(job)) == ["0", "1", "2"]


def test_a_job_waits_for_a_card_and_says_so_once(machine, start):
    machine(1)
    first = start(1)
    assert holds(first) == {"0"}
    second = start(1)
    assert line(second) == "waiting for 1 of the GPUs 0 to become free"
    time.sleep(1.2)  # long enough for it to look again, twice
    end(first)
    assert holds(second) == {"0"}


def test_two_jobs_that_want_two_of_three_cards_run_one_after_the_other(machine, start):
    machine(3)
    first = start(2)
    assert holds(first) == {"0", "1"}
    second = start(2)
    assert line(second).startswith("waiting for 2 of")
    # The one that waits holds nothing meanwhile: a small job gets the third card.
    third = start(1)
    assert holds(third) == {"2"}
    end(first)
    assert holds(second) == {"0", "1"}


def test_a_killed_job_leaves_nothing_behind(machine, start):
    machine(1)
    job = start(1)
    assert holds(job) == {"0"}
    job.send_signal(signal.SIGKILL)
    job.wait()
    with allot(1, fail):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


def test_the_variable_limits_the_cards_and_is_restored(machine, start, monkeypatch):
    machine(8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-ab")
    assert holds(start(1)) == {"5"}
    with allot(1, fail):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-ab"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5, GPU-ab"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(ZeroDivisionError), allot(1, fail):
        raise ZeroDivisionError
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_slurm_job_keeps_the_cards_that_it_was_given(machine, start, monkeypatch, tmp_path):
    machine(2)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    # The scheduler gave both jobs a card that each calls 1: no lock may keep them apart.
    assert holds(start(1)) == {"1"}
    assert holds(start(1)) == {"1"}
    assert not list(tmp_path.glob("alpharl-*"))
    with pytest.raises(DeviceError, match=r"found 1 GPUs \(1\), expected 2"), allot(2, fail):
        pass


def test_jobs_inside_one_slurm_allocation_divide_its_cards(machine, start, monkeypatch):
    machine(2)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    assert holds(start(1)) | holds(start(1)) == {"0", "1"}


@pytest.mark.parametrize(("visible", "found"), [(None, "3 GPUs (0, 1, 2)"), ("", "0 GPUs (none)")])
def test_too_few_cards_are_refused_in_one_line(machine, cli, monkeypatch, visible, found):
    machine(3)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    done = cli("factors", "--base", "b", "--checkpoint", "c", "--out", "f", "--gpus", 4)
    assert done.error.startswith(f"alpharl factors: error: found {found}, expected 4; lower 'gpus'")
    assert done.err.count("\n") == 1


def test_a_machine_without_cards_is_refused(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(DeviceError, match=r"found 0 GPUs \(none\), expected 1"), allot(1, fail):
        pass


def test_nothing_happens_without_a_count(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "")
    with allot(0, fail):
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
    require_visible(0)
    assert not list(tmp_path.glob("alpharl-*"))


def test_torch_must_see_what_was_allotted(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    require_visible(2)
    with pytest.raises(DeviceError, match="sees 2 GPUs, expected the 1 that were allotted"):
        require_visible(1)


def test_a_count_below_zero_is_refused(cli, capsys):
    with pytest.raises(SystemExit):
        cli("factors", "--base", "b", "--checkpoint", "c", "--out", "f", "--gpus", "-1")
    assert "found '-1', expected a whole number from 0 to 1024" in capsys.readouterr().err
