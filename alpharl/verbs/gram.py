"""Write the inner products between the updates of a run's checkpoints, tensor by tensor.

One pass reads all checkpoints. A gram file holds a matrix of steps by steps for each tensor, in
float64, and the steps. Dynamics, verdicts and most forecasts are made from it and read no weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.checkpoints.sources import run_folders
from alpharl.verbs import shared
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputFile
from alpharl.verbs.result import Written

EXAMPLE = (
    "alpharl gram --base models/base --checkpoints 'runs/foo/checkpoint-{step}' "
    "--out gram.safetensors"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    shared.base(parser)
    shared.checkpoints(parser)
    shared.shard(parser)
    shared.stage(parser)
    shared.manifests(parser)
    parser.add_argument(
        "--out", type=Path, action=OutputFile, required=True, metavar="FILE", help="file to write"
    )
    shared.gpus(parser)
    prints(parser, Written)


def run(
    base: Path,
    checkpoints: list[str],
    steps: list[int] | None,
    shard: int,
    shards: int,
    stage: str | None,
    manifests: list[Path],
    out: Path,
    gpus: int,
) -> Written:
    """Make the gram of a run, or of one shard of it."""
    from alpharl.checkpoints.differences import tell
    from alpharl.checkpoints.identity import made_from, require_unchanged
    from alpharl.checkpoints.manifest import KnownDigests
    from alpharl.checkpoints.stage import staged
    from alpharl.gpu import cards
    from alpharl.progress import shown
    from alpharl.spectra.gram import gram_run, write_gram
    from alpharl.spectra.scope import require_part

    part = require_part(shard, shards)
    folders = run_folders(checkpoints, steps)
    models = made_from(base, folders, KnownDigests(manifests))
    with cards(gpus), staged({0: base, **folders}, stage) as copies, shown() as progress:
        tell(progress, base, folders)
        gram = gram_run(copies.pop(0), copies, part, progress)
        require_unchanged(models)
        write_gram(gram, out, models, part)
    return Written(written=[str(out)])
