"""How often the audit finds what is wrong with real runs of one base, whole and thinned.

python -m tests.studies.real_runs --base B --runs 'grpo-0=runs/grpo-0/step-{step}' ...
Runs that are called alike but for the end, as `grpo-0` and `grpo-1`, are siblings.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.sources import find_steps
from alpharl.spectra.audit import audit
from alpharl.spectra.gram import Gram, gram_run
from alpharl.spectra.path import Path as RunPath

from tests.markdown import markdown

THINNED = (1, 2, 3, 4)
"""Every how manieth checkpoint is taken."""
APART = 10_000_000
"""Keeps the steps of runs apart that share a gram."""


def grams(base: Path, runs: Mapping[str, str]) -> tuple[Gram, dict[str, list[int]]]:
    """Products between the updates of all runs and the base, at the end; each run's indices."""
    found = {name: find_steps(pattern) for name, pattern in runs.items()}
    folders = {
        APART * at + step: folder
        for at, steps in enumerate(found.values()) for step, folder in steps.items()
    }  # fmt: skip
    gram = gram_run(base, folders)
    names = read_index(base).tensors
    tensors = {name: np.pad(gram.tensors[name], (0, 1)) for name in names}
    index = {step: i for i, step in enumerate(gram.steps)}
    places = {
        name: [index[APART * at + step] for step in steps]
        for at, (name, steps) in enumerate(found.items())
    }
    return Gram([*gram.steps, APART * len(runs)], tensors), places


def served(gram: Gram, indices: Sequence[int]) -> Gram:
    """A run's gram: its checkpoints are those with the indices."""
    some = np.ix_(indices, indices)
    steps = list(range(1, len(indices) + 1))
    return Gram(steps, {name: products[some] for name, products in gram.tensors.items()})


def broken(
    run: Sequence[int], siblings: Sequence[Sequence[int]], base: int
) -> Iterator[tuple[str, str, list[int], list[int]]]:
    """Faults at all places: name, kind, indices that are served, places to be named."""
    last = len(run) - 1
    for at in range(len(run)):
        yield "equal to the base", "base", [*run[:at], base, *run[at + 1 :]], [at]
        for sibling in siblings:
            yield "step of a sibling", "foreign", [*run[:at], sibling[at], *run[at + 1 :]], [at]
        if at:
            twice = [*run[:at], run[at - 1], *run[at + 1 :]]
            yield "duplicate of the step before", "duplicate", twice, [at - 1, at]
        if at < last - 1:
            served = [*run[:at], *[run[-1]] * (last - at + 1)]
            yield "serves the last", "serves-last", served, list(range(at, last + 1))
        if at < last:
            swap = [*run[:at], run[at + 1], run[at], *run[at + 2 :]]
            yield "neighbours swapped", "swapped", swap, [at, at + 1]


def rows(base: Path, runs: Mapping[str, str]) -> Iterator[dict[str, object]]:
    """What the audit says of each run, right and broken, whole and thinned."""
    gram, places = grams(base, runs)
    products = gram.total(gram.tensors)
    for name, whole in places.items():
        kind = name.rpartition("-")[0]
        others = [
            other for key, other in places.items()
            if key != name and key.rpartition("-")[0] == kind and len(other) == len(whole)
        ]  # fmt: skip
        for every in THINNED:
            run, *siblings = (points[every - 1 :: every] for points in (whole, *others))
            steps = list(range(1, len(run) + 1))
            cosine = RunPath.of(steps, products[np.ix_(run, run)]).turns.mean()
            about = {"runs": kind, "checkpoints": len(run), "cosine": cosine}
            cases = [("none", "", list(run), list[int]())]
            for fault, expected, indices, at in [*cases, *broken(run, siblings, len(products) - 1)]:
                found = audit(served(gram, indices), list(gram.tensors)).faults
                named = any(f.kind == expected and f.steps == [steps[i] for i in at] for f in found)
                yield {**about, "fault": fault, "stopped": bool(found), "named": named}


def summary(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Counts and percentages per group."""
    groups = frame.groupby(keys, sort=False)
    return pd.concat(
        {
            "cases": groups.size(),
            "stopped": 100 * groups["stopped"].mean(),
            "named": 100 * groups["named"].mean(),
        },
        axis=1,
    ).reset_index()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--runs", nargs="+", required=True, metavar="NAME=PATTERN")
    options = parser.parse_args()
    runs = dict(entry.split("=", 1) for entry in options.runs)
    frame = pd.DataFrame(rows(options.base, runs))
    print(markdown(summary(frame, ["fault"])))
    ordered = frame[frame["fault"].isin(["neighbours swapped", "step of a sibling"])]
    ordered = ordered.sort_values("checkpoints", kind="stable")
    print(markdown(summary(ordered, ["fault", "checkpoints"])))
    print(markdown(summary(ordered, ["fault", "runs", "checkpoints"])))


if __name__ == "__main__":
    main()
