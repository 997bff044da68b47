"""What goes wrong while a verb runs."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace

from tests.faults.case import Case, Outcome, fresh
from tests.workflow.contents import contents


def killed(case: Case, chance: random.Random) -> Outcome:
    """`kill -9` at a random moment, then the same command again."""
    process = case.start()
    time.sleep(chance.uniform(0, 1.05 * case.seconds))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    if not case.is_whole():
        return case.bad("a file under its own name is not whole after a kill")
    outcome = case.judged(*case.undisturbed())
    left = [path.name for path in case.temporary.glob("alpharl-*-*")]
    return case.bad(f"the next run left {left}") if left else outcome


def ended(case: Case, chance: random.Random) -> Outcome:
    """SIGTERM at a random moment: the command ends in order, and leaves nothing half-done."""
    process = case.start()
    time.sleep(chance.uniform(0, 1.05 * case.seconds))
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate()
    left = [*case.out.rglob("*.partial*"), *case.temporary.glob("alpharl-*-*")]
    # Before Python has started, nobody handles signals.
    if process.returncode not in (0, 143, -signal.SIGTERM) or left or not case.is_whole():
        return case.bad(f"SIGTERM: status {process.returncode}, left {left}: {errors}")
    return case.judged(*case.undisturbed())


def limited(limits: str) -> Callable[[Case, random.Random], Outcome]:
    """Limits of the shell."""

    def fault(case: Case, chance: random.Random) -> Outcome:
        process = case.start(limits)
        _, errors = process.communicate()
        return case.judged(process.returncode, errors)

    return fault


def on_disk(options: str) -> Callable[[Case, random.Random], Outcome]:
    """A file system of its own for what is written: small, or read-only."""

    def fault(case: Case, chance: random.Random) -> Outcome:
        case.out.mkdir(exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(case.out)]
        subprocess.run(mount, check=True)
        try:
            return case.judged(*case.undisturbed())
        finally:
            subprocess.run(["umount", str(case.out)], check=True)

    return fault


def vanishing(case: Case, chance: random.Random) -> Outcome:
    """The folder of results is removed while the command runs."""
    process = case.start()
    time.sleep(chance.uniform(0.3, 1) * case.seconds)
    shutil.rmtree(case.out, ignore_errors=True)
    _, errors = process.communicate()
    if process.returncode == 0:  # it was removed when all was written
        return case.judged(*case.undisturbed())
    return case.judged(process.returncode, errors)


def replaced(case: Case, chance: random.Random) -> Outcome:
    """A checkpoint's weights are written anew while they are read; afterwards they are back."""
    path = case.folder / "run/step-30/model.safetensors"
    content, stat = path.read_bytes(), path.stat()
    process = case.start()
    time.sleep(chance.uniform(0.3, 1) * case.seconds)
    path.write_bytes(content[:-64] + bytes(64))
    _, errors = process.communicate()
    made = contents(case.out)
    if process.returncode == 0 and made != case.expected:
        # They were new before anything was read: then all results have to be of the new ones.
        shutil.rmtree(case.out)
        case.undisturbed()
        case = replace(case, expected=made)
    found = case.judged(process.returncode, errors)
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return found


def clock_back(case: Case, chance: random.Random) -> Outcome:
    """All files are of tomorrow: the clock went back."""
    for path in case.folder.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            os.utime(path, (time.time() + 86400,) * 2)
    return case.judged(*case.undisturbed())


def two_writers(case: Case, chance: random.Random) -> Outcome:
    """Two processes write results of different models to one place at once: each is one's."""
    second = _of_other_models(case)
    processes = [case.start(), second.start()]
    ends = [process.communicate()[1] for process in processes]
    of_first = {
        name for name, data in contents(case.out).items() if data == case.expected.get(name)
    }
    either = {name: (case if name in of_first else second).expected[name] for name in case.expected}
    outcomes = [
        replace(case, expected=either).judged(process.returncode, errors)
        for process, errors in zip(processes, ends, strict=True)
    ]
    return "BAD" if "BAD" in outcomes or "same" not in outcomes else "same"


def _of_other_models(case: Case) -> Case:
    """The same verb in another folder, which writes to the same place."""
    folder = fresh(case.other, case.folder.parent / "other")
    second = replace(case, folder=folder, target=f"../{case.folder.name}/{case.target}")
    second.undisturbed()
    expected = contents(second.out)
    shutil.rmtree(second.out)
    return replace(second, expected=expected)


FAULTS: dict[str, Callable[[Case, random.Random], Outcome]] = {
    "kill -9": killed,
    "SIGTERM": ended,
    "two writers": two_writers,
    "disk full (8 KiB)": on_disk("size=8k"),
    "disk full (128 KiB)": on_disk("size=128k"),
    "read-only disk": on_disk("ro"),
    "ulimit -f 4": limited("ulimit -f 4"),
    "ulimit -n 24": limited("ulimit -n 24"),
    "results removed": vanishing,
    "weights replaced": replaced,
    "clock back": clock_back,
}
"""What happens, by name."""
REPEATED = {"kill -9", "SIGTERM", "two writers"}
"""Those whose outcome is a matter of the moment."""
