"""What the audit says: kinds of faults and notes, and their form. Numpy-free."""

from __future__ import annotations

from typing import Literal, get_args

from alpharl.frozen import Frozen

Fault = Literal["base", "duplicate", "serves-last", "swapped", "misordered", "foreign"]
"""What makes every number of the run wrong: steps that equal the base, each other or the last one;
two exchanged names, another order, a step that is off the run's path."""
Note = Literal["partial", "gap", "jump", "large", "unordered", "differs"]
"""What stops nothing: tensors that never move, steps that a regular grid lacks, a far longer
increment, an update as large as the weights, too few checkpoints to check their order, a config or
rows of tokens that are not the base's."""
FAULTS: tuple[Fault, ...] = get_args(Fault)
"""Kinds of faults, by the names under which they are accepted."""


class Finding(Frozen):
    """Something that the audit found."""

    kind: Fault | Note
    """What it is."""
    steps: list[int]
    """The steps that it is about; of a wrong order all, in the better order."""
    text: str
    """What was found, the likely reason, and what to do, in a line."""


class Audit(Frozen):
    """What is wrong, or notable, with a run's checkpoints."""

    steps: list[int]
    """The steps that were looked at."""
    faults: list[Finding]
    """What is wrong, and not accepted."""
    accepted: list[Finding]
    """Faults of kinds that were accepted."""
    notes: list[Finding]
    """What may surprise, and is no fault."""
