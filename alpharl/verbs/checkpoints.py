"""Collect the manifests of a run's checkpoints into one table."""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.verbs.inputs import file_name
from alpharl.verbs.places import OutputFile

EXAMPLE = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    for name in ("run", "base"):
        parser.add_argument(
            f"--{name}", type=file_name, required=True, metavar="NAME", help=f"name of the {name}"
        )
    parser.add_argument(
        "--manifests", type=Path, nargs="+", required=True, metavar="FILE",
        help="manifests of all checkpoints of the run",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, action=OutputFile, required=True, metavar="FILE",
        help="JSON file to write: step, path and digest of each checkpoint",
    )  # fmt: skip


def run(run: str, base: str, manifests: list[Path], out: Path) -> None:
    """Write the table."""
    from alpharl.checkpoints.manifest import write_checkpoints

    write_checkpoints(run, base, manifests, out)
