"""Fuzzes what reads headers and indexes: `python -m tests.fuzz.run 100000`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.fuzz import headers, indexes


def fuzz(seeds: range, scratch: Path) -> dict[str, int]:
    """Check each seed's file, and of every tenth seed a model of several files.

    Returns:
        How many were accepted, and how many files the library accepts that are refused here.
    """
    counts = {"files": 0, "files accepted": 0, "stricter": 0, "models": 0, "models accepted": 0}
    for seed in seeds:
        here, there = headers.check(seed, scratch / "model.safetensors")
        counts["files"] += 1
        counts["files accepted"] += here
        counts["stricter"] += there and not here
        if seed % 10 == 0:
            counts["models"] += 1
            counts["models accepted"] += indexes.check(seed, scratch / "models")
    return counts


def main() -> None:
    """Fuzz as many seeds as the command line says."""
    with tempfile.TemporaryDirectory() as folder:
        print(fuzz(range(int(sys.argv[1])), Path(folder)))


if __name__ == "__main__":
    main()
