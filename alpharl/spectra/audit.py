"""The audit: whether a run's checkpoints are what their names say. Nothing but the gram is read.

Faults make whatever is computed of the run wrong: a step that equals the base or another step, a
wrong order, a step that is not this run's. Notes say what may surprise, and never stop anything.

Two models are equal if the square of their distance is at most `EQUAL` of that of the longest
update, or if their files have the same digest. In bfloat16 that means the same file: a weight that
moves by the least step, 1/256 of itself, moves a model farther than that unless it is one in 10^9.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from alpharl.spectra.equal import Why, equal_steps, first_equal, named, same_digest
from alpharl.spectra.findings import Audit, Finding
from alpharl.spectra.gram import Gram
from alpharl.spectra.order import FEWEST, Misplaced, misplaced
from alpharl.spectra.path import Path
from alpharl.spectra.vote import outvoted

EQUAL = 1e-10
"""Squared distance of equal models, as a share of the longest update's square."""
JUMP = 5.0
"""An increment so many times as long as those next to it is a jump."""


def audit(
    gram: Gram,
    tensors: Sequence[str],
    digests: Mapping[int, str] | None = None,
    accept: Sequence[str] = (),
    why: Why = lambda step: None,
) -> Audit:
    """Look at a run's checkpoints.

    Args:
        gram: of all tensors of the run.
        tensors: names of the model's tensors; a gram holds parts of some next to them.
        digests: of the model files by step, 0 being the base, as far as they are known.
        accept: kinds of faults that are no reason to stop.
        why: asked of steps that equal the base.
    """
    products = gram.total(tensors)
    first = first_equal(gram.steps, _near(products) | same_digest(gram.steps, digests or {}))
    distinct = _distinct(gram.steps, first)
    path = _path(gram.steps, products, distinct)
    parts = (_path(gram.steps, gram.tensors[name], distinct) for name in tensors)
    faults = [*equal_steps(gram.steps, first, why), *_out_of_place(path, parts)]
    # A fault explains the jumps that it makes.
    jumps = [] if faults else _jumps(path)
    return Audit(
        steps=gram.steps,
        faults=[fault for fault in faults if fault.kind not in accept],
        accepted=[fault for fault in faults if fault.kind in accept],
        notes=[
            *_still(gram, tensors),
            *_gaps(gram.steps),
            *jumps,
            *_large(gram.steps, np.diag(products), gram.base_square),
            *_unordered(gram.steps),
        ],
    )


def _near(products: np.ndarray) -> np.ndarray:
    """Whether two models are so near each other that they are equal: base and T steps."""
    p = np.pad(products, ((1, 0), (1, 0)))
    square = np.diag(p)[:, None] + np.diag(p) - 2 * p
    near: np.ndarray = square <= EQUAL * np.diag(p).max()
    return near


def _distinct(steps: list[int], first: Mapping[int, int]) -> list[int]:
    """Indices of steps that stand for all: of equal ones the first, of the last ones the last."""
    last = [s for s in steps if first[s] == first[steps[-1]] != 0]
    return [
        i for i, step in enumerate(steps)
        if (step == steps[-1] and last) or (first[step] == step and step not in last)
    ]  # fmt: skip


def _path(steps: list[int], products: np.ndarray, points: list[int]) -> Path:
    return Path.of([steps[i] for i in points], products[np.ix_(points, points)])


def _out_of_place(path: Path, parts: Iterable[Path]) -> Iterator[Finding]:
    """Steps that are not where their names put them on the path of the model, or of its tensors."""
    faults = list(misplaced(path))
    if not faults and (point := outvoted(parts)) is not None:
        faults = [Misplaced("foreign", [point])]
    for fault in faults:
        steps = path.steps[fault.points].tolist()
        match fault.kind:
            case "swapped":
                text = (
                    f"{named(steps)} are swapped: the path turns back there, and exchanged it "
                    "does not; likely their names were mixed up: exchange the two"
                )
            case "misordered":
                text = (
                    "the steps are in another order than their names: the path is shorter, and "
                    f"turns back nowhere, as {', '.join(map(str, steps))}; likely they were "
                    "renumbered: check the names"
                )
            case "foreign":
                text = (
                    f"{named(steps)} is off the path that the other steps draw; likely it is of "
                    "another run, or stored in another precision: get the right file, or leave "
                    "the step out"
                )
        yield Finding(kind=fault.kind, steps=steps, text=text)


def _still(gram: Gram, tensors: Sequence[str]) -> Iterator[Finding]:
    """Tensors that never move while others do."""
    still = [name for name in tensors if not np.diag(gram.tensors[name]).any()]
    if 0 < len(still) < len(tensors):
        some = ", ".join(still[:2]) + (", ..." if len(still) > 2 else "")
        text = (
            f"{len(still)} of {len(tensors)} tensors equal the base at every step: {some}; likely "
            "frozen, or left out when saving: check that training was meant to leave them"
        )
        yield Finding(kind="partial", steps=gram.steps, text=text)


def _gaps(steps: list[int]) -> Iterator[Finding]:
    """Steps that a regular grid lacks."""
    gaps = np.diff([0, *steps])
    usual = float(np.median(gaps))
    wide = [(step - gap, step) for step, gap in zip(steps, gaps, strict=True) if gap > usual]
    if len(steps) > 2 and wide and np.mean(gaps == usual) >= 0.5:
        where = ", ".join(f"{before} and {after}" for before, after in wide)
        text = (
            f"no checkpoint between steps {where}, while the others are {usual:g} apart; likely "
            "not saved, or not found: check the folder"
        )
        yield Finding(kind="gap", steps=[after for _, after in wide], text=text)


def _jumps(path: Path) -> Iterator[Finding]:
    """Increments that are far longer than those next to them."""
    for at, step in enumerate(path.steps[1:].tolist()):
        beside = np.delete(path.pace[max(0, at - 3) : at + 4], min(at, 3))
        times = float(path.pace[at] / np.median(beside)) if len(beside) else 0.0
        if times > JUMP:
            text = (
                f"the run moves {times:.3g} times as far to step {step} as is usual around it; "
                "likely the learning rate rose, or training broke down: look at its log"
            )
            yield Finding(kind="jump", steps=[step], text=text)


def _large(steps: list[int], squares: np.ndarray, base: float | None) -> Iterator[Finding]:
    """Steps whose update is as long as the base's weights, or longer."""
    large = [] if base is None else [s for s, q in zip(steps, squares, strict=True) if q >= base]
    if large:
        times = float(np.sqrt(squares.max() / base)) if base else float("inf")
        text = (
            f"the update is as large as the base's weights at {named(large)}, {times:.3g} times at "
            "most; likely another base, or training broke down: check the base and the log"
        )
        yield Finding(kind="large", steps=large, text=text)


def _unordered(steps: list[int]) -> Iterator[Finding]:
    if len(steps) < FEWEST:
        text = (
            f"the order of {len(steps)} checkpoints cannot be checked, which takes {FEWEST}: check "
            "their names"
        )
        yield Finding(kind="unordered", steps=steps, text=text)
