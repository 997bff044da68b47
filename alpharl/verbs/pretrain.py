"""Pretrain a small base on a problem that makes its own questions.

The base learns the problem badly enough that RL has something left to do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.errors import StudyError
from alpharl.verbs import shared
from alpharl.verbs.inputs import json_value, validated
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputFile, OutputModel
from alpharl.verbs.result import Written

EXAMPLE = """alpharl pretrain --spec '{"problem": "addition", "steps": 20}' --out models/small"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "--spec", required=True, metavar="JSON",
        help="problem, size and steps: what a study file has under a base's `pretrain`, as JSON",
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
        "--manifest", type=Path, action=OutputFile, metavar="FILE",
        help="manifest of the model to write too: its files with their digests",
    )  # fmt: skip
    parser.add_argument(
        "--replace", action="store_true",
        help="start over where --out holds a model already (default: refuse)",
    )  # fmt: skip
    shared.gpus(parser)
    prints(parser, Written)


def run(spec: str, out: Path, manifest: Path | None, replace: bool, gpus: int) -> Written:
    """Pretrain the base."""
    from alpharl.checkpoints.manifest import write_manifest
    from alpharl.gpu import cards
    from alpharl.training.spec import PretrainSpec

    recipe = validated(PretrainSpec, json_value(spec, "--spec"))
    if out.exists() and not replace:
        raise StudyError(
            f"{out}: exists already, expected a new folder; name another, or say --replace"
        )
    with cards(gpus):
        from alpharl.training.pretrain import pretrain

        pretrain(recipe, out)
    if manifest:
        write_manifest(out, 0, manifest)
    return Written(written=[str(path) for path in (out, manifest) if path])
