"""Build a forecast or a rank-k model as a normal model folder.

Reads a folder that `alpharl forecast` or `alpharl rank` wrote, an adapter or a blend, and the
models that it names. The result has the base's dtypes and tokenizer; transformers loads it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputModel
from alpharl.verbs.result import Written

EXAMPLE = "alpharl export forecast --out forecast-model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "variant", type=Path, metavar="FOLDER",
        help="folder that `alpharl forecast` or `alpharl rank` wrote",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, action=OutputModel, required=True, metavar="FOLDER",
        help="model folder to write; it must not exist yet",
    )  # fmt: skip
    prints(parser, Written)


def run(variant: Path, out: Path) -> Written:
    """Build a variant as a normal model folder."""
    from alpharl.progress import shown
    from alpharl.variants.build import build_dense
    from alpharl.variants.store import read_variant

    with shown() as progress:
        build_dense(read_variant(variant), out, progress)
    return Written(written=[str(out)])
