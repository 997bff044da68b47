"""Check whether a run's checkpoints are what their names say.

Faults are steps that equal the base or each other, a wrong order, or a step that is not on the
run's path. There is a line for each, and the exit status is 1. Notes, for example of a jump or of
tensors that never move, stop nothing. Only the gram is read, which is made if it is not given.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from alpharl.spectra.findings import Audit
from alpharl.verbs import shared
from alpharl.verbs.opened import opened
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputFile
from alpharl.verbs.result import Result

EXAMPLE = (
    "alpharl audit --base models/base --checkpoints 'runs/foo/checkpoint-{step}' "
    "--gram gram.safetensors"
)


class Audited(Result, Audit):
    """What is wrong, or notable, with a run's checkpoints."""

    @property
    def exit_status(self) -> int:
        """1 where there are faults."""
        return 1 if self.faults else 0

    def blocks(self) -> Iterator[str]:
        """A line per fault, or one that says that there is none; then the others."""
        yield from (f"{fault.kind}: {fault.text}" for fault in self.faults)
        if not self.faults:
            count = f"{len(self.steps)} checkpoints, step {self.steps[0]} to {self.steps[-1]}"
            yield f"found no fault in {count}"
        yield from (f"accepted: {fault.kind}: {fault.text}" for fault in self.accepted)
        yield from (f"note: {note.text}" for note in self.notes)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    shared.base(parser)
    shared.checkpoints(parser)
    shared.gram(parser)
    shared.accept(parser)
    parser.add_argument(
        "--manifests", type=Path, nargs="*", default=[], metavar="FILE",
        help="manifests of model folders, or tables of them: models whose files have the same "
        "digests are equal",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        type=Path,
        action=OutputFile,
        metavar="FILE",
        help="write the result there too, as JSON",
    )
    shared.gpus(parser)
    prints(parser, Audited)


def run(
    base: Path,
    checkpoints: list[str],
    steps: list[int] | None,
    gram: str | None,
    shards: int,
    accept: list[str],
    manifests: list[Path],
    out: Path | None,
    gpus: int,
) -> Audited:
    """Audit a run."""
    from alpharl.checkpoints.files import write_record
    from alpharl.gpu import cards

    given = opened(base, checkpoints, steps, gram=gram, shards=shards, told=False)
    with cards(gpus), given as trajectory:
        audit = trajectory.audit(accept=accept, manifests=manifests)
    result = Audited(**audit.model_dump())
    if out:
        write_record(out, result.model_dump(mode="json"))
    return result
