"""Each verb that writes under each fault: the same results, or an error in one line.

All of them with `make test-faults`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.faults.case import WRITERS, Case, Good, case_of, make_both
from tests.faults.faults import FAULTS
from tests.faults.verbs import outcome

SAMPLE = {
    ("gram", "kill -9"), ("forecast", "two writers"), ("factors", "disk full (8 KiB)"),
    ("dynamics", "ulimit -f 4"), ("gram", "weights replaced"), ("accuracy", "SIGTERM"),
}  # fmt: skip
"""What stands in CI for the others."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Good:
    """The good files, and those of other models."""
    return make_both(tmp_path_factory.mktemp("both"))


@pytest.fixture(scope="module")
def case(both: Good, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """A verb, with what it writes undisturbed."""
    return cache(lambda name: case_of(both, tmp_path_factory.mktemp("cases"), name))


def mounts(folder: Path) -> bool:
    """Whether this process may mount file systems."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode == 0:
        subprocess.run(["umount", str(folder)], check=True)
    return mounted.returncode == 0


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        pytest.param(name, fault, marks=[pytest.mark.sample] * ((name, fault) in SAMPLE))
        for name in WRITERS for fault in FAULTS
    ],
)  # fmt: skip
def test_a_fault_leaves_the_same_results_or_one_line(
    case: Callable[[str], Case], both: Good, tmp_path: Path, name: str, fault: str
) -> None:
    if "disk" in fault and not mounts(tmp_path):
        pytest.skip("this process may not mount a disk of its own")
    assert outcome(case(name), both.files, fault, seed=1) != "BAD"
