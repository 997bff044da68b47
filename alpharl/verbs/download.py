"""Fetch a model from the Hub: safetensors, configs and tokenizer, no code."""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.verbs.places import OutputFile, OutputModel

EXAMPLE = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("--repo", required=True, metavar="ORG/NAME", help="repository on the Hub")
    parser.add_argument(
        "--revision", default="main", metavar="NAME",
        help="branch, tag or commit (default: %(default)s)",
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
        help="JSON file to write: repository, commit and files that were fetched",
    )  # fmt: skip


def run(repo: str, revision: str, out: Path, record: Path) -> None:
    """Fetch the model."""
    from alpharl.checkpoints import hub

    hub.download(repo, revision, out, record)
