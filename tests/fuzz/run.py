"""Fuzzes what reads files: `python -m tests.fuzz.run [--seed 1] [KIND ...]`.

Ends with a table, and with status 1 after a violation.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections import Counter
from itertools import count
from pathlib import Path

from alpharl.cli import main as alpharl

from tests.bad_inputs.good import make_good
from tests.fuzz import (
    adapters,
    answers,
    factors,
    grams,
    headers,
    indexes,
    scores,
    studies,
    suites,
    variants,
)
from tests.fuzz.rounds import Good, Outcomes, collect, fuzz, silent

KINDS = {
    module.KIND.name: module.KIND
    for module in (factors, grams, variants, scores, answers, suites, studies)
}
COUNTS = {
    "headers": 100_000, "indexes": 10_000, "adapters": 2000, "factors": 12_000, "grams": 15_000,
    "variants": 10_000, "scores": 15_000, "answers": 15_000, "suites": 9000, "studies": 15_000,
}  # fmt: skip
"""Mutants of each kind: about a minute each, but for the first three, which take two together."""
_APART = 10**6
"""Seeds from one `--seed` to the next."""


def prepare() -> Good:
    """The good files of the current folder, with what only fuzzers read."""
    with silent():
        call = f"accuracy --scores {scores.SCORE} --out {scores.LISTED}"
        assert alpharl(call.split()) == 0
    return Good.here()


def run(name: str, number: int, seed: int, scratch: Path, good: Good) -> Outcomes:
    """Fuzz one kind.

    Args:
        name: of the kind.
        number: of mutants.
        seed: of all of them.
        scratch: folder for what is no good file.
        good: the files of the current folder.
    """
    seeds = range(seed * _APART, seed * _APART + number)
    if name == "headers":
        file = scratch / "model.safetensors"
        return collect(name, seeds, lambda seed: headers.check(seed, file), number)
    if name == "indexes":
        return collect(name, seeds, lambda seed: indexes.check(seed, scratch / "models"), number)
    if name == "adapters":
        return _adapters(number, seed * _APART, scratch / "adapters")
    return fuzz(KINDS[name], seeds, good)


def _adapters(number: int, first: int, scratch: Path) -> Outcomes:
    """Adapters, and why some are refused that PEFT loads whole."""
    reasons = Counter[str]()

    def turn(seed: int) -> str | None:
        outcome, words = adapters.check(seed, scratch) or (None, "")
        reasons.update([_reason(words)] if outcome == "stricter" else [])
        return outcome

    outcomes = collect("adapters", count(first), turn, number)
    outcomes.remarks = [f"refused here alone, {n}: {reason}" for reason, n in reasons.most_common()]
    return outcomes


def _reason(error: str) -> str:
    """The words of a refusal without names and numbers."""
    words = re.sub(r"\[.*?\]|\S*[._\d]\S*", "_", error.partition(": ")[2])
    return re.sub(r"(_\W*)+", "_ ", words)[:60]


def main() -> None:
    """Fuzz the kinds of the command line, all by default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(COUNTS)}")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other mutants")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of mutants")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files, scratch = Path(folder) / "files", Path(folder) / "scratch"
        files.mkdir()
        scratch.mkdir()
        with silent():
            make_good(files)
        os.chdir(files)
        good, results = prepare(), dict[str, Outcomes]()
        for name in options.kinds or COUNTS:
            number = round(COUNTS[name] * options.share)
            print(f"{name}: {number} mutants from seed {options.seed * _APART} on", flush=True)
            results[name] = run(name, number, options.seed, scratch, good)
            for line in (*results[name].remarks, *results[name].violations):
                print(line)
            _tell({name: results[name]})
        os.chdir("/")
    _tell(results)
    sys.exit(any(outcomes.violations for outcomes in results.values()))


def _tell(results: dict[str, Outcomes]) -> None:
    columns = ("accepted", "refused", "stricter")
    heads = ["kind", "mutants", *columns, "violations", "CPU s"]
    rows = [
        [name, one.mutants, *(one.counts[key] for key in columns), len(one.violations),
         f"{one.seconds:.0f}"]
        for name, one in results.items()
    ]  # fmt: skip
    for row in [heads, *rows]:
        print(" ".join(f"{cell!s:>10}" for cell in row), flush=True)


if __name__ == "__main__":
    main()
