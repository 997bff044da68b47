"""A sample of `make test-fuzz`: nothing is read but what independent readers read too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.run import KINDS, prepare, run

SAMPLE = {"headers": 4000, "indexes": 400, "adapters": 60}
OF_KIND = 300
"""Mutants of each other kind."""
LEAST = {
    "headers": (400, 400), "indexes": (40, 40), "adapters": (20, 10), "answers": (100, 0),
}  # fmt: skip
"""Mutants that are accepted and refused at least: else the mutations would prove little."""
STRICTER = {"headers": 200, "adapters": 15}
"""Mutants at most that are refused though the independent reader takes them."""


@pytest.mark.parametrize("name", [*SAMPLE, *KINDS])
def test_nothing_is_read_as_something_else(files: Path, tmp_path: Path, name: str):
    outcomes = run(name, SAMPLE.get(name, OF_KIND), 0, tmp_path, prepare())
    assert outcomes.violations == []
    accepted, refused = LEAST.get(name, (15, 100))
    assert outcomes.counts["accepted"] >= accepted
    assert outcomes.counts["refused"] >= refused
    assert outcomes.counts["stricter"] <= STRICTER.get(name, 0)
