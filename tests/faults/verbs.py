"""Every verb that writes, under every fault: what it leaves, and what the next run makes of it.

`python -m tests.faults.verbs [VERB ...]` prints how often each ended how, a line of JSON for each
verb and fault, and on standard error what is wrong where it is not right.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.faults.case import WRITERS, Case, Outcome, case_of, fresh, make_both
from tests.faults.faults import FAULTS, REPEATED

TIMES = 2
"""How often those faults are tried whose outcome is a matter of the moment."""


def outcome(case: Case, good: Path, fault: str, seed: int) -> Outcome:
    """What a verb makes of a fault, with good files of its own."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        again = replace(case, folder=fresh(good, Path(folder) / "files"))
        return FAULTS[fault](again, random.Random(f"{seed} {case.name} {fault}"))


def main(names: list[str]) -> None:
    """Print what becomes of some verbs, or of all."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        good = make_both(Path(folder))
        for name in names or WRITERS:
            case = case_of(good, Path(folder), name)
            for fault in FAULTS:
                print(f"{name}: {fault}", file=sys.stderr, flush=True)
                seeds = range(TIMES if fault in REPEATED else 1)
                ends = Counter(outcome(case, good.files, fault, seed) for seed in seeds)
                print(json.dumps({"verb": name, "fault": fault, "ends": ends}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
