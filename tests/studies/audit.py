"""How often the audit finds what is wrong with a simulated run, and how often it stops a right one.

python -m tests.studies.audit --out docs/audit.md
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from alpharl.spectra.audit import audit
from alpharl.spectra.findings import Audit
from alpharl.spectra.path import Path as RunPath

from tests.markdown import markdown
from tests.studies.paths import CLEAN, DIMENSIONS, UNEVEN, drawn, gram_of

COUNTS = (3, 4, 5, 6, 8, 10, 20, 50, 100)
"""Checkpoints of a run."""
FAULTY = (
    "drift, cosine 0.3", "drift, cosine 0.7", "momentum, cosine 0.5", "momentum, cosine 0.9",
    "1/k spectrum, cosine 0.5", "lengths fall 100-fold, drift", "warm-up and decay, momentum",
    "saturating",
)  # fmt: skip
"""Kinds of runs that things go wrong with: those whose neighbouring increments go the same way."""
PERSISTENT = 0.2
"""Mean cosine of neighbouring increments from which a fault has to be found."""
SHARED = (0.0, 0.5, 0.9)
"""Cosines between the last updates of two runs from one base."""
TENSORS = 40
"""Tensors of a run of which they vote."""
TEXT = """# Detection rates of the audit

`make audit-rates`: simulated runs of many kinds, from seeds that the audit's constants were not
chosen on. Each number is a percentage of runs. *Dimensions* are those that the updates live in: few
dimensions make cosines noisy, and a model's updates have thousands. `alpharl audit --help` and
[numbers.md](numbers.md#the-audit) say what the faults are.

A cell of right runs stands for 29 kinds of 60 runs each (30 runs with 50 checkpoints, 15 with 100;
20 with 40 tensors), one of broken runs for 8 kinds of 15. The table of persistence has 480 runs in
a row. Of the broken runs, those count whose neighbouring increments have a mean cosine above 0.2.

## Real runs

`python -m tests.studies.real_runs` breaks runs that were trained here: supervised fine-tuning, GRPO
at two learning rates and GRPO with SGD, two seeds of each, whole and thinned 2 to 4 times. A
sibling is the run of the other seed.

| fault | cases | stopped | of these with few checkpoints |
| --- | --- | --- | --- |
| none | 32 | 0 % | |
| equal to the base, duplicate, serves the last | 792 | 100 % | |
| neighbours swapped | 264 | 97 % (255) | 3 or 4: 1 of 10; 5 and more: all |
| the same step of a sibling | 296 | 91 % (269) | 3: 0 of 6; 4: 6 of 8; 5: 23 of 30; 6: 42 of 48 |

From four checkpoints on, the audit finds 258 of 260 later steps of a sibling, but 11 of 30 first
ones. Do not rely on it to find a first step of a sibling: two runs begin alike. The first steps of
two seeds have cosines of 0.84 to 0.96 in supervised fine-tuning, of which the audit finds 0 of 8.
In GRPO with SGD, with cosines of up to 0.98, it finds 2 of 6; in GRPO at the low and the high
learning rate 7 and 2 of 8. Decision trees did no better in supervised fine-tuning: they were fitted
to 140 numbers of each first step, over the tensors of the fourteen runs below, and asked about a
kind of run that they had not seen. They found 4 of 24, while they stopped 1 right step in 100.

The rule and its constants were chosen on fourteen other runs, of another base and other seeds, also
at other learning rates: of these the audit stops 503 of 542 with a step of a sibling (93 %), and 0
of 510 right ones (whole, thinned, and cut off early). Constants that are chosen without one kind of
run find 506 of the 542, each in the kind that is left out, and stop no right run.

The share of tensors that have to agree was not chosen so, and earlier rules were tried on the eight
runs above too. At 2 of 5, the rule found 273 of the 296, but stopped one right run of the 32: most
have to agree now. Where there are four checkpoints, 5 of 8 have to. Fifteen more runs of the base
above told that, one of which is the same: also with evolution strategies, a restart of the learning
rate, and a far too high one. With half of the tensors, 2 of 508 right ones that were thinned or cut
off were stopped, with 5 of 8 none. Of their steps of a sibling, 415 of 450 are found, 412 by name.
"""


def judge(steps: list[int], points: np.ndarray, tensors: int = 1) -> Audit:
    """The audit of a simulated run."""
    gram = gram_of(steps, points, tensors)
    return audit(gram, list(gram.tensors))


Draws = Iterator[tuple[list[int], np.ndarray, np.random.Generator]]


def persistent(
    seed: int, runs: int, count: int, dimensions: int, kinds: Sequence[str] = FAULTY
) -> Draws:
    """Runs whose neighbouring increments go the same way."""
    for at, kind in enumerate(kinds):
        rng = np.random.default_rng([seed, at, count, dimensions])
        for _ in range(runs):
            steps, points = drawn(kind, rng, count, dimensions, uneven=bool(rng.random() < 0.2))
            if RunPath.of(steps, points @ points.T).turns.mean() > PERSISTENT:
                yield steps, points, rng


def clean(seed: int, runs: int, count: int, dimensions: int, tensors: int = 1) -> dict[str, float]:
    """By kind, the percentage of right runs that are stopped."""
    stopped = {}
    for at, kind in enumerate([*CLEAN, *UNEVEN]):
        rng = np.random.default_rng([seed, at, count, dimensions])
        uneven = at >= len(CLEAN)
        draws = (drawn(kind, rng, count, dimensions * tensors, uneven) for _ in range(runs))
        name = f"{kind}, uneven steps" if uneven else kind
        stopped[name] = 100 * float(np.mean([bool(judge(*draw, tensors).faults) for draw in draws]))
    return stopped


Break = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, list[int]]]
"""Makes a run faulty: its points, and the indices of those that have to be named."""


def swapped(points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """Two neighbours exchange their names."""
    at, broken = int(rng.integers(len(points) - 1)), points.copy()
    broken[[at, at + 1]] = points[[at + 1, at]]
    return broken, [at, at + 1]


def far_swap(points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """Two others exchange their names."""
    at, broken = int(rng.integers(len(points) - 2)), points.copy()
    other = int(rng.integers(at + 2, len(points)))
    broken[[at, other]] = points[[other, at]]
    return broken, []


def shuffled(points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """All names are mixed up."""
    return points[rng.permutation(len(points))], []


def backwards(points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """The steps count down."""
    return points[::-1], []


def base(points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """A step is the base."""
    at, broken = int(rng.integers(len(points))), points.copy()
    broken[at] = 0
    return broken, [at]


def duplicate(points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """A step is the one before."""
    at, broken = int(rng.integers(1, len(points))), points.copy()
    broken[at] = points[at - 1]
    return broken, [at - 1, at]


def serves_last(points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """From some step on all are the last one."""
    at, broken = int(rng.integers(len(points) - 2)), points.copy()
    broken[at:] = points[-1]
    return broken, list(range(at, len(points)))


BREAKS: dict[str, tuple[Break, str]] = {
    "equal to the base": (base, "base"),
    "duplicate of the step before": (duplicate, "duplicate"),
    "serves the last": (serves_last, "serves-last"),
    "neighbours swapped": (swapped, "swapped"),
    "others swapped": (far_swap, "misordered"),
    "all mixed up": (shuffled, "misordered"),
    "counted down": (backwards, "misordered"),
}
"""What goes wrong, and the kind of fault that it is."""


def found(seed: int, runs: int, count: int, dimensions: int, name: str) -> tuple[float, float]:
    """Percentages of broken runs that are stopped, and whose fault and steps are named."""
    break_, kind = BREAKS[name]
    stopped, named = [], []
    for steps, points, rng in persistent(seed, runs, count, dimensions):
        broken, at = break_(points, rng)
        faults = judge(steps, broken).faults
        stopped.append(bool(faults))
        right = [
            f for f in faults if f.kind == kind and (not at or f.steps == [steps[i] for i in at])
        ]
        named.append(bool(right))
    return 100 * float(np.mean(stopped)), 100 * float(np.mean(named))


def swapped_by_persistence(seed: int, runs: int, count: int) -> dict[str, float]:
    """Percentages of runs that are stopped for two swapped neighbours, by the run's persistence."""
    rows = []
    for steps, points, rng in persistent(seed, runs, count, 2000):
        cosine = RunPath.of(steps, points @ points.T).turns.mean()
        broken, _ = swapped(points, rng)
        rows.append((cosine, bool(judge(steps, broken).faults)))
    frame = pd.DataFrame(rows, columns=["cosine", "found"])
    ranges = pd.cut(frame["cosine"], [PERSISTENT, 0.3, 0.5, 0.7, 1.0])
    by_range = 100 * frame.groupby(ranges, observed=True)["found"].mean()
    return {f"{r.left:g} to {r.right:g}": rate for r, rate in by_range.items()}


def foreign(
    seed: int, runs: int, count: int, dimensions: int, shared: float, tensors: int = 1
) -> dict[str, float]:
    """Percentages of runs that are stopped for the same step of another run of their kind."""
    rows = []
    first = persistent(seed, runs, count, dimensions * tensors)
    others = [persistent(seed + i, runs, count, dimensions * tensors) for i in (1, 2)]
    for (steps, own, rng), (_, other, _), (_, common, _) in zip(first, *others, strict=False):
        a, b = (shared**0.5 * common + (1 - shared) ** 0.5 * points for points in (own, other))
        at = int(rng.integers(len(steps)))
        broken = a.copy()
        broken[at] = b[at]
        faults = judge(steps, broken, tensors).faults
        place = "first" if at == 0 else "last" if at == len(steps) - 1 else "between"
        rows.append((place, bool(faults), any(f.steps == [steps[at]] for f in faults)))
    frame = pd.DataFrame(rows, columns=["place", "found", "named"])
    by_place = 100 * frame.groupby("place")["found"].mean()
    return {"found": 100 * frame["found"].mean(), "named": 100 * frame["named"].mean(), **by_place}


def tables(seed: int, runs: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """All tables with their titles."""
    stopped = {
        (d, n): clean(seed, max(10, min(runs, 1500 // n)), n, d) for d in DIMENSIONS for n in COUNTS
    }
    by_count = pd.DataFrame(
        {n: [np.mean([*stopped[d, n].values()]) for d in DIMENSIONS] for n in COUNTS}
    )
    by_count.insert(0, "dimensions", DIMENSIONS)
    yield "Right runs that are stopped, by their number of checkpoints (all kinds)", by_count
    kinds = next(iter(stopped.values()))
    by_kind = pd.DataFrame(
        {d: [np.mean([stopped[d, n][k] for n in COUNTS]) for k in kinds] for d in DIMENSIONS}
    )
    by_kind.insert(0, "kind", list(kinds))
    yield (
        "Right runs that are stopped, by kind and dimensions (all numbers of checkpoints)",
        by_kind,
    )
    faulty = {
        (name, d): {n: found(seed + 50, runs // 4, n, d, name) for n in COUNTS[:8]}
        for name in BREAKS for d in DIMENSIONS[2:]
    }  # fmt: skip
    for title, which in (("stopped", 0), ("stopped for the right fault at the right steps", 1)):
        rows = [
            {"fault": name, "dimensions": d, **{n: both[which] for n, both in each.items()}}
            for (name, d), each in faulty.items()
        ]
        yield f"Broken runs that are {title}, by their number of checkpoints", pd.DataFrame(rows)
    rows = [{"checkpoints": n, **swapped_by_persistence(seed + 70, runs, n)} for n in COUNTS[1:6]]
    yield (
        "Swapped neighbours that are found in 2000 dimensions, by the mean cosine of neighbouring "
        "increments",
        pd.DataFrame(rows),
    )
    rows = []
    for shared in SHARED:
        for n in COUNTS[1:8]:
            rates = foreign(seed + 90, runs // 4, n, 2000, shared)
            rows.append({"cosine of the runs": shared, "checkpoints": n, **rates})
    yield "The same step of another run, in 2000 dimensions", pd.DataFrame(rows)
    yield from tensor_tables(seed, runs)


def tensor_tables(seed: int, runs: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """The tables of runs of which the tensors vote."""
    rows = []
    for d in DIMENSIONS[2:4]:
        stopped = {n: [*clean(seed, runs // 3, n, d, TENSORS).values()] for n in COUNTS[1:7]}
        rows.append({"dimensions of each": d, **{n: np.mean(each) for n, each in stopped.items()}})
    yield f"Right runs of {TENSORS} tensors that are stopped (all kinds)", pd.DataFrame(rows)
    rows = []
    for shared in SHARED:
        for n in COUNTS[1:7]:
            rates = foreign(seed + 90, runs // 4, n, 200, shared, TENSORS)
            rows.append({"cosine of the runs": shared, "checkpoints": n, **rates})
    yield (
        f"The same step of another run, with {TENSORS} tensors in 200 dimensions each",
        pd.DataFrame(rows),
    )


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    parts = [TEXT]
    for title, frame in tables(options.seed, options.runs):
        parts.append(f"## {title}\n\n{markdown(frame)}\n")
        print(parts[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
