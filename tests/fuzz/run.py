"""Fuzzes what reads headers, indexes and adapters: `python -m tests.fuzz.run 100000 2000`."""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from itertools import count
from pathlib import Path

from tests.fuzz import adapters, headers, indexes


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


def fuzz_adapters(number: int, scratch: Path) -> tuple[Counter[str], Counter[str]]:
    """Check as many adapters.

    Returns:
        How many were accepted, refused here and by PEFT, or refused here alone (`stricter`); and
        of the last, how many for each reason.
    """
    outcomes, stricter = Counter[str](), Counter[str]()
    for seed in count():
        outcome = adapters.check(seed, scratch)
        if outcome:
            outcomes[outcome[0]] += 1
            if outcome[0] == "stricter":
                stricter[_reason(outcome[1])] += 1
        if outcomes.total() == number:
            return outcomes, stricter
    raise AssertionError("not reached")


def _reason(error: str) -> str:
    """The words of a refusal without names and numbers."""
    words = re.sub(r"\[.*?\]|\S*[._\d]\S*", "_", error.partition(": ")[2])
    return re.sub(r"(_\W*)+", "_ ", words)[:60]


def main() -> None:
    """Fuzz as many seeds and adapters as the command line says."""
    files, number = (int(text) for text in sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        print(fuzz(range(files), Path(folder)))
        outcomes, stricter = fuzz_adapters(number, Path(folder) / "adapters")
    print(dict(outcomes), "refused here alone:", *stricter.most_common(), sep="\n")


if __name__ == "__main__":
    main()
