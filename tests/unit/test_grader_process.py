"""The checker's process: timeouts, signals, long answers, a killed parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from alpharl.errors import EvaluationError
from alpharl.evaluation.graders import checker, choice, latex
from alpharl.evaluation.graders.checker import Checker

TOWER = "9^{9^{9^{9}}}"
"""Evaluating this is one long operation in C, which no Python code interrupts."""


@pytest.fixture
def quick() -> Checker:
    """A checker that gives up after a second."""
    made = Checker(limit=1.0)
    yield made
    made.close()


def test_timeout_holds_inside_c_code_and_the_next_answer_is_graded(quick):
    assert quick.equal("1/2", "0.5"), "also starts the process"
    started = time.monotonic()
    assert not quick.equal(TOWER, "1")
    assert not quick.equal(r"10^{9}!", "1")
    assert time.monotonic() - started < 60, "two timeouts of at most 6 s, and a start"
    assert quick.timeouts == 2
    assert quick.equal("1/2", "0.5")
    assert not quick.equal("1/2", "0.6")


def test_timeouts_are_counted(quick):
    assert quick.equal("2+2", "4")
    assert quick.timeouts == 0
    quick._child.kill()
    assert not quick.equal("2+2", "4")
    assert quick.timeouts == 1
    assert quick.equal("2+2", "4")


def test_many_answers_use_one_process(quick):
    quick.equal("1/2", "0.5")
    child = quick._child
    for place in range(30):
        assert quick.equal(f"{place}/2", str(place / 2))
    assert quick._child is child


def test_interrupt_does_not_shift_replies(quick, monkeypatch):
    """After Ctrl-C between question and reply, the next answer gets its own reply."""

    def interrupted(child, line):
        child.stdin.write(line + "\n")
        child.stdin.flush()
        raise KeyboardInterrupt

    assert quick.equal("1/2", "0.5")
    with monkeypatch.context() as patch:
        patch.setattr(checker, "_exchange", interrupted)
        with pytest.raises(KeyboardInterrupt):
            quick.equal("1/2", "0.5")
    assert not quick.equal("1/2", "0.6")
    assert quick.equal("1/2", "0.5")


def test_works_outside_of_the_main_thread(quick):
    found = []
    thread = threading.Thread(target=lambda: found.append(quick.equal("(x-1)^2", "x^2-2x+1")))
    thread.start()
    thread.join()
    assert found == [True]


def test_timeout_holds_where_the_parent_ignores_its_signals(quick):
    before = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGALRM, signal.SIGPROF)}
    try:
        assert not quick.equal(TOWER, "1")
        assert quick.timeouts == 1
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)


def test_timeout_holds_on_the_clock_too(quick):
    """A process that is stopped for five seconds uses no processor time; three are the limit."""
    assert quick.equal("1/2", "0.5")
    quick.limit, child = 0.5, quick._child
    for delay, what in ((0.1, signal.SIGSTOP), (5.0, signal.SIGCONT)):
        threading.Timer(delay, child.send_signal, (what,)).start()
    assert not quick.equal(TOWER, "1")
    assert child.returncode == -signal.SIGALRM
    assert quick.timeouts == 1


def test_long_answer_fits_through_the_pipe(quick):
    assert not quick.equal("x+" * 100_000 + "x", "1")
    assert quick.equal("1/2", "0.5")


def run(code: str, **options) -> subprocess.CompletedProcess:
    """A fresh interpreter, with the package found as it is here."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, **options
    )


def test_script_without_a_main_guard(tmp_path):
    """Nothing is imported again in the child, and it leaves no process behind."""
    script = tmp_path / "script.py"
    script.write_text(
        "from alpharl.evaluation.graders import latex\n"
        "print(latex.is_correct(r'\\frac12', '0.5'), latex.CHECKER._child.pid)\n"
    )
    # A module of the user's that would break the child if it were imported.
    (tmp_path / "sympy.py").write_text("raise SystemExit('wrong sympy')")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.stderr == ""
    found, pid = done.stdout.split()
    assert found == "True"
    assert_ends(int(pid))


def test_child_ends_with_a_killed_parent():
    """Also in the middle of a comparison, by its own alarm."""
    code = (
        "import threading, time\n"
        "from alpharl.evaluation.graders.checker import Checker\n"
        "checker = Checker(limit=3.0)\n"
        "checker.equal('1', '2')\n"
        "print(checker._child.pid, flush=True)\n"
        "checker.equal('10^{9}!', '1')\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    time.sleep(0.5)
    parent.kill()
    parent.communicate()
    assert_ends(pid)


def assert_ends(pid: int, within: float = 40.0) -> None:
    """Fail unless a process is gone, or a zombie that nobody waits for, in so many seconds."""
    started = time.monotonic()
    while time.monotonic() - started < within:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.1)
    pytest.fail(f"process {pid} still runs")


def test_process_that_does_not_start_is_one_line(monkeypatch, tmp_path, quick):
    broken = tmp_path / "verify.py"
    broken.write_text("raise SystemExit(3)")
    monkeypatch.setattr(checker, "_SCRIPT", broken)
    with pytest.raises(EvaluationError, match="ended with status 3 at its start") as error:
        quick.equal("1", "2")
    assert "\n" not in str(error.value)


def test_importing_the_graders_is_light():
    """No torch, and math-verify only in the child."""
    heavy = ["torch", "lm_eval", "sympy", "math_verify", "transformers"]
    code = (
        "import sys\nfrom alpharl.evaluation.graders import choice, number\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    assert run(code).stdout.strip() == "[]"


def test_same_text_is_not_asked_about(monkeypatch):
    """Most answers of one question are alike or words; they need no process."""
    monkeypatch.setattr(checker, "_SCRIPT", None)
    assert latex.is_correct("x + 1", "x+1")
    assert latex.is_correct(r"\text{even}", "even")
    assert not latex.is_correct("", "even")
    assert choice.is_correct("A", "A")
