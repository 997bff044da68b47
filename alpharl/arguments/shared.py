"""Arguments that several verbs take."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from alpharl.verbs.engine_options import add_engine_options

PATTERN = "folder pattern such as 'runs/foo/step-{step}', or STEP=FOLDER for each checkpoint"
STAGE = "copy the weight files there first"

Adder = argparse._SubParsersAction  # the type that add_subparsers returns has no public name


def verb(add: Adder[argparse.ArgumentParser], name: str, help: str) -> argparse.ArgumentParser:
    """Add a verb; unless it says more, it takes no GPU."""
    parser = add.add_parser(name, help=help, description=help)
    parser.set_defaults(gpus=0)
    return parser


def checkpoints(parser: argparse.ArgumentParser) -> None:
    """Checkpoints of one run."""
    parser.add_argument("--checkpoints", nargs="+", required=True, help=PATTERN)
    parser.add_argument("--steps", type=int, nargs="+", help="default: all that the pattern finds")


def percents(parser: argparse._ActionsContainer) -> None:
    """Depth as a share of a matrix."""
    for name in ("components", "parameters"):
        words = f"as many triplets as this %% of a matrix's {name}"
        parser.add_argument(f"--percent-{name}", type=float, default=0.0, metavar="P", help=words)


def shard(parser: argparse.ArgumentParser) -> None:
    """One part of a model."""
    parser.add_argument("--shard", type=int, default=0)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--stage", metavar="FOLDER", help=STAGE)


def engine(parser: argparse.ArgumentParser) -> None:
    """What generates answers."""
    add_engine_options(parser)
    gpus(parser)


def gpus(parser: argparse.ArgumentParser) -> None:
    """Cards that the verb takes for itself."""
    parser.add_argument(
        "--gpus", type=_count, metavar="N",
        help="take N free GPUs, and wait for them; default: use all that are visible",
    )  # fmt: skip


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"found '{text}', expected a number of 0 or more")
    return int(text)


def number(above: float, most: float = math.inf) -> Callable[[str], float]:
    """A parser of finite numbers above one bound, and up to the other."""
    limit = f" and at most {most:g}" if most < math.inf else ""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not above < value <= most or math.isinf(value):
            raise argparse.ArgumentTypeError(
                f"found '{text}', expected a number above {above:g}{limit}"
            )
        return value

    return parse


def stores(parser: argparse.ArgumentParser) -> None:
    """What was made of the run before."""
    parser.add_argument("--factors", help="pattern of factor files made before, with {step}")
    parser.add_argument("--gram", help="gram file made before")
    parser.add_argument(
        "--shards", type=int, default=1, help="shards, if the patterns hold {shard}"
    )


def manifests(parser: argparse.ArgumentParser) -> None:
    """Digests that are known, so that no model is read for them."""
    parser.add_argument(
        "--manifests", type=Path, nargs="*", default=[], help="manifests, or tables of them"
    )


def variant_out(parser: argparse.ArgumentParser) -> None:
    """Where a variant goes, and as what."""
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dense", action="store_true", help="write a normal model folder instead")
