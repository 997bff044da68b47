"""Check that a study's results are what was written, and compute a sample of them again.

Each file is hashed and compared with the digest that it was written with; so are the models, if
they are still there. Then accuracies are computed from the answers' outcomes, and some inner
products, norms and singular values from the weights. Nothing is changed.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path

from alpharl.bounds import MOST_COUNT
from alpharl.verbs import shared
from alpharl.verbs.numbers import whole
from alpharl.verbs.parser import prints
from alpharl.verbs.result import Result
from alpharl.verification.findings import Derived, Wrong

EXAMPLE = "alpharl verify my-study.yaml"


class Verified(Result):
    """What is wrong with a study's results."""

    study: str
    """Path of the study file."""
    files: int
    """Number of files that were hashed, each of which may speak for others."""
    wrong: list[Wrong]
    """Files that are not as they were written."""
    derived: list[Derived]
    """Numbers that were computed again; none where files are wrong."""

    @property
    def exit_status(self) -> int:
        """1 where something is wrong."""
        return 1 if self.wrong or self._others() else 0

    def _others(self) -> list[Derived]:
        return [one for one in self.derived if not one.is_equal]

    def blocks(self) -> Iterator[str]:
        """A line for each that is wrong, and how to make it again; then the counts."""
        yield from (f"wrong: {one.text}" for one in self.wrong)
        for one in self._others():
            yield f"wrong: {one.path}: {one.what}: found {one.stored:.9g}, expected {one.again:.9g}"
        paths = [one.path for one in self.wrong] + [one.path for one in self._others()]
        if paths:
            command = ["snakemake", "--configfile", self.study, "--forcerun", *dict.fromkeys(paths)]
            yield "what the workflow made, it makes again with"
            yield f"  {shlex.join(command)}"
        else:
            yield f"found nothing wrong in {self.files} files and {len(self.derived)} numbers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    shared.study(parser)
    parser.add_argument(
        "--sample", type=whole(0, MOST_COUNT), default=3, metavar="N",
        help="tensors of each run whose numbers are computed again (default: %(default)s)",
    )  # fmt: skip
    shared.seed(parser, "the sample")
    prints(parser, Verified)


def run(study: Path, sample: int, seed: int) -> Verified:
    """Look at a study's results."""
    from alpharl.progress import display
    from alpharl.study.config import load_study
    from alpharl.study.plan import Plan
    from alpharl.verification.derive import derive
    from alpharl.verification.files import checks, wrong_files

    plan = Plan(load_study(study))
    looks = dict(checks(plan))
    with display(True) as progress:
        wrong = list(wrong_files(looks, progress))
        derived = [] if wrong else list(derive(plan, sample, seed, progress))
    return Verified(study=str(study), files=len(looks), wrong=wrong, derived=derived)
