"""Write the top-k singular triplets of a checkpoint's update, matrix by matrix.

The update is checkpoint minus base. A factor file holds u, s and v of each matrix, the update's
Frobenius norm and a residual per triplet. Rank-k models and some forecasts are made from it.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from alpharl.bounds import MOST_RANK
from alpharl.checkpoints.sources import find_steps
from alpharl.errors import StudyError
from alpharl.verbs import shared
from alpharl.verbs.numbers import number, whole
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputFile, Values
from alpharl.verbs.result import Written

if TYPE_CHECKING:
    from alpharl.spectra.scope import Scope

EXAMPLE = (
    "alpharl factors --base models/base --checkpoint 'runs/foo/checkpoint-{step}' --rank 8 "
    "--out 'factors/step-{step}.safetensors'"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    shared.base(parser)
    parser.add_argument(
        "--checkpoint", "--checkpoints", nargs="+", required=True, metavar="FOLDER",
        help="model folder of a checkpoint, several in the order of their steps, or a pattern with "
        "{step}",
    )  # fmt: skip
    parser.add_argument(
        "--rank", type=whole(1, MOST_RANK), default=8, metavar="K",
        help="triplets per matrix, at least (default: %(default)s)",
    )  # fmt: skip
    # The workflow gives 0 where a study asks for none.
    shared.percents(parser, number(least=0, most=100))
    parser.add_argument(
        "--scope", choices=["paper", "all"], default="paper",
        help="paper: q, k, v, o, gate, up and down; all: every matrix (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--spectrum", action="store_true", help="store all singular values of each update too"
    )
    shared.shard(parser)
    shared.stage(parser)
    shared.manifests(parser)
    parser.add_argument(
        "--out", nargs="+", action=OutputFile, writes=_files, required=True, metavar="FILE",
        help="a file for each checkpoint, or a pattern with {step}",
    )  # fmt: skip
    shared.gpus(parser)
    prints(parser, Written)


def run(
    base: Path,
    checkpoint: list[str],
    rank: int,
    percent_components: float,
    percent_parameters: float,
    scope: Scope,
    spectrum: bool,
    shard: int,
    shards: int,
    stage: str | None,
    manifests: list[Path],
    out: list[str],
    gpus: int,
) -> Written:
    """Factor the updates of one or more checkpoints, or one shard of them."""
    from alpharl.checkpoints.differences import tell
    from alpharl.checkpoints.identity import made_from
    from alpharl.checkpoints.manifest import KnownDigests
    from alpharl.checkpoints.stage import staged
    from alpharl.gpu import cards
    from alpharl.progress import shown
    from alpharl.spectra.depth import Depth
    from alpharl.spectra.scope import require_part

    part = require_part(shard, shards)
    paths, written = _by_step(checkpoint, out)
    depth = Depth(rank, percent_components, percent_parameters)
    with cards(gpus):
        from alpharl.spectra.factors import Settings, write_factors

        settings = Settings(depth, scope, part, spectrum)
        models = made_from(base, paths, KnownDigests(manifests))
        with staged({-1: base, **paths}, stage) as copies, shown() as progress:
            tell(progress, base, paths)
            write_factors(copies.pop(-1), copies, settings, written, models, progress)
    return Written(written=[str(path) for path in written.values()])


def _files(values: Values) -> list[Path]:
    return list(_by_step(values["checkpoint"], values["out"])[1].values())


def _by_step(checkpoints: list[str], out: list[str]) -> tuple[dict[int, Path], dict[int, Path]]:
    """The checkpoints by step, and a file for each; from lists, or from two patterns with `{step}`.

    In a list, the numbers that the folders' names end in count if they increase, else the order.
    """
    if len(checkpoints) == len(out) == 1 and "{step}" in checkpoints[0]:
        folders = {step: path for step, path in find_steps(checkpoints[0]).items() if step > 0}
        files = [Path(out[0].replace("{step}", str(step))) for step in folders]
        return _paired([*folders], [*folders.values()], files)
    return _paired(None, [*map(Path, checkpoints)], [*map(Path, out)])


def _paired(
    steps: list[int] | None, folders: list[Path], files: list[Path]
) -> tuple[dict[int, Path], dict[int, Path]]:
    distinct = len(set(files)) == len(files) == len(folders)
    if not distinct or any("{step}" in str(path) for path in files):
        raise StudyError(
            f"found {len(folders)} checkpoints and {len(set(files))} files for --out; expected one "
            "file each, or a pattern with {step} for both"
        )
    if steps is None:
        ends = [re.search(r"(\d+)$", folder.name) for folder in folders]
        numbers = [int(end[1]) for end in ends if end]
        increasing = len(numbers) == len(folders) and numbers == sorted(set(numbers))
        steps = numbers if increasing else [*range(len(folders))]
    return dict(zip(steps, folders, strict=True)), dict(zip(steps, files, strict=True))
