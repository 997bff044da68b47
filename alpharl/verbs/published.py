"""Compare a run's models by the digests that the Hub lists, before any is fetched.

Steps whose weights are the base's or another step's, byte for byte, are faults. There is a line for
each on standard error, as `alpharl audit` has it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from alpharl.errors import CheckpointError
from alpharl.steps import read_step
from alpharl.verbs import shared
from alpharl.verbs.places import OutputFile

if TYPE_CHECKING:
    from alpharl.checkpoints.hub import Published
    from alpharl.spectra.findings import Finding

EXAMPLE = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "--models", type=_model, nargs="+", required=True, metavar="STEP=ORG/NAME@REVISION",
        help="where on the Hub each checkpoint is; step 0 is the base",
    )  # fmt: skip
    parser.add_argument(
        "--base", type=Path, metavar="FOLDER",
        help="model folder of a base that is not on the Hub (default: step 0, or not compared)",
    )  # fmt: skip
    shared.accept(parser)
    parser.add_argument(
        "--out", type=Path, action=OutputFile, required=True, metavar="FILE",
        help="JSON file to write if there are no faults: commit and digests of each model; if it "
        "holds these models already, nothing is done",
    )  # fmt: skip


def run(
    models: list[tuple[int, str, str]], base: Path | None, accept: list[str], out: Path
) -> None:
    """Compare the models."""
    from alpharl.checkpoints.files import write_record
    from alpharl.checkpoints.hub import listed

    if _places(out) == {step: (repo, revision) for step, repo, revision in models}:
        return
    listings = {step: listed(repo, revision) for step, repo, revision in models}
    faults = _faults(listings, base)
    for fault in faults:
        accepted = "accepted: " if fault.kind in accept else ""
        print(f"{accepted}{fault.kind}: {fault.text}", file=sys.stderr)
    if any(fault.kind not in accept for fault in faults):
        raise CheckpointError(
            "found these faults, expected checkpoints that are what their names say; get the right "
            "revisions, name steps in leave_out of the run, or kinds of faults in audit.accept"
        )
    write_record(out, {str(step): vars(listings[step]) for step in sorted(listings)})


class _Model(TypedDict):
    """The part of a listing that says of what it is."""

    repo: str
    revision: str


def _places(file: Path) -> dict[int, tuple[str, str]]:
    """By step, the repositories and revisions that an earlier call has compared."""
    from alpharl.checkpoints.files import read_record

    models = read_record(file, dict[int, _Model], "alpharl published") if file.is_file() else {}
    return {step: (model["repo"], model["revision"]) for step, model in models.items()}


def _faults(listings: Mapping[int, Published], base: Path | None) -> list[Finding]:
    """Steps whose weights have the same digests as others'.

    Args:
        listings: by step, maybe of the base as step 0.
        base: folder of a base that is none of these.
    """
    from alpharl.checkpoints.index import read_index
    from alpharl.checkpoints.manifest import digest_of_weights
    from alpharl.checkpoints.unmoved import unmerged
    from alpharl.spectra.equal import equal_steps, first_equal, same_digest
    from alpharl.sums import digest_file

    files = {step: model.files for step, model in listings.items()}
    if base:
        files[0] = {name: digest_file(base / name) for name in read_index(base).files}
    digests = {step: digest_of_weights(digests) for step, digests in files.items()}
    steps = sorted(step for step in listings if step)

    def why(step: int) -> str | None:
        model = listings[step]
        where = f"{model.adapter} of {model.repo} at {model.revision}"
        return unmerged(where) if model.adapter else None

    return list(equal_steps(steps, first_equal(steps, same_digest(steps, digests)), why))


def _model(text: str) -> tuple[int, str, str]:
    step, _, where = text.partition("=")
    repo, _, revision = where.partition("@")
    if not repo or not revision:
        raise argparse.ArgumentTypeError(f"found '{text}', expected STEP=ORG/NAME@REVISION")
    return read_step(step), repo, revision
