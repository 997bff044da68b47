"""Have verl merge the shards of a checkpoint into a model folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.verbs.places import OutputFile, OutputModel

EXAMPLE = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "--environment", type=Path, required=True, metavar="FOLDER",
        help="virtual environment that verl is installed in",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint", type=Path, required=True, metavar="FOLDER",
        help="folder of the shards, or the global_step_N above it",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        type=Path,
        action=OutputModel,
        replaces=True,
        required=True,
        metavar="FOLDER",
        help="model folder to write",
    )
    parser.add_argument(
        "--record", type=Path, action=OutputFile, required=True, metavar="FILE",
        help="JSON file to write: what was merged, and the command that did it",
    )  # fmt: skip


def run(environment: Path, checkpoint: Path, out: Path, record: Path) -> None:
    """Merge the shards."""
    from alpharl.checkpoints import verl

    verl.merge(environment, checkpoint, out, record)
