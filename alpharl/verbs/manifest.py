"""Check a checkpoint against its base and write its manifest."""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.bounds import MOST_STEP
from alpharl.verbs import shared
from alpharl.verbs.numbers import whole
from alpharl.verbs.places import OutputFile

EXAMPLE = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "--checkpoint", type=Path, required=True, metavar="FOLDER", help="model folder or adapter"
    )
    parser.add_argument(
        "--step", type=whole(0, MOST_STEP), required=True, metavar="STEP",
        help="its step; 0 for a base",
    )  # fmt: skip
    parser.add_argument(
        "--base", type=Path, metavar="FOLDER",
        help="model folder whose tensors it must have (default: not compared)",
    )  # fmt: skip
    shared.manifests(parser)
    parser.add_argument(
        "--out", type=Path, action=OutputFile, required=True, metavar="FILE",
        help="JSON file to write: files with their digests, tensors, bytes, dtypes",
    )  # fmt: skip


def run(checkpoint: Path, step: int, base: Path | None, manifests: list[Path], out: Path) -> None:
    """Write the manifest."""
    from alpharl.checkpoints.differences import tell
    from alpharl.checkpoints.manifest import write_manifest
    from alpharl.progress import shown

    if base:
        tell(shown(), base, {step: checkpoint})
    write_manifest(checkpoint, step, out, base, manifests)
