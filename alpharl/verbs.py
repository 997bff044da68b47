"""What each verb of the command line does. Heavy imports stay inside the verb that needs them."""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from alpharl.checkpoints.files import write_atomic, write_json, write_text
from alpharl.checkpoints.sources import at_steps, find_steps, step_of
from alpharl.checkpoints.stage import staged
from alpharl.errors import MethodError, StudyError, UndefinedForecast
from alpharl.study.depth import Depth

if TYPE_CHECKING:
    import pandas as pd

    from alpharl.forecasting.contract import Blend
    from alpharl.spectra.gram import Gram
    from alpharl.spectra.lowrank import Factors, LowRank
    from alpharl.study.methods import MethodOptions


def log(line: str) -> None:
    """Print a progress line to standard error at once."""
    print(line, file=sys.stderr, flush=True)


# --- the study ---


def check(args: Namespace) -> None:
    """Validate a study file and print what it would make."""
    from alpharl.study.check import describe
    from alpharl.study.config import load_study

    print(describe(load_study(args.study)))


def methods(args: Namespace) -> None:
    """List the forecasting methods."""
    from alpharl.study.methods import METHODS

    for name, method in METHODS.items():
        needs = ", ".join(sorted(method.needs)) or "checkpoints only"
        options = [key for key in method.model_fields if key != "method"]
        print(f"{name}\n  {(method.__doc__ or '').splitlines()[0]}")
        print(f"  source: {method.source}\n  needs: {needs}; cost: {method.cost}")
        if options:
            print(f"  options: {', '.join(options)}")


def report(args: Namespace) -> None:
    """Write the report and name its path."""
    from alpharl.report import write_report
    from alpharl.study.config import load_study, parse_study

    if (args.study is None) == (args.spec is None):
        raise StudyError("expected a study file or --spec, exactly one of them")
    study = parse_study(json.loads(args.spec)) if args.spec else load_study(args.study)
    print(write_report(study))


# --- bases, runs and their manifests ---


def pretrain(args: Namespace) -> None:
    """Pretrain a base and write its manifest."""
    from alpharl.checkpoints.manifest import write_manifest
    from alpharl.study.training import PretrainSpec
    from alpharl.training.pretrain import pretrain as pretrain_base

    pretrain_base(PretrainSpec.model_validate_json(args.spec), args.out)
    write_manifest(args.out, 0, args.manifest)


def train(args: Namespace) -> None:
    """Train a run and write a manifest for each checkpoint."""
    from alpharl.checkpoints.manifest import write_manifest
    from alpharl.study.training import TrainSpec
    from alpharl.training.train import train as train_run

    spec = TrainSpec.model_validate_json(args.spec)
    train_run(spec, args.base, args.out)
    for step in spec.saved_steps():
        out = Path(args.manifests.replace("{step}", str(step)))
        write_manifest(args.out / f"step-{step}", step, out, args.base)


def manifest(args: Namespace) -> None:
    """Check a checkpoint against its base and write its manifest."""
    from alpharl.checkpoints.manifest import write_manifest

    write_manifest(args.checkpoint, args.step, args.out, args.base)


def checkpoints(args: Namespace) -> None:
    """Collect a run's manifests into one table."""
    from alpharl.checkpoints.manifest import write_checkpoints

    write_checkpoints(args.run, args.base, args.manifests, args.out)


# --- factors, grams, dynamics ---


def factors(args: Namespace) -> None:
    """Factor the updates of one or more checkpoints, or one shard of them."""
    from alpharl.spectra import FACTORS_VERSION
    from alpharl.spectra.factors import Settings, write_factors

    if len(args.checkpoint) != len(args.out):
        raise StudyError(
            f"found {len(args.checkpoint)} checkpoints and {len(args.out)} files for --out; "
            "expected one file each"
        )
    depth = Depth(args.rank, args.percent_components, args.percent_parameters)
    settings = Settings(depth, args.scope, (args.shard, args.shards), args.spectrum)
    # The order of the command line stands for the steps.
    paths, out = dict(enumerate(args.checkpoint)), dict(enumerate(args.out))
    how = {"version": FACTORS_VERSION, "base": str(args.base), "depth": asdict(depth),
           "scope": args.scope, "shard": settings.part}  # fmt: skip
    metadata = {i: how | {"checkpoint": str(path)} for i, path in paths.items()}
    with staged({-1: args.base, **paths}, args.stage) as checkpoints:
        write_factors(checkpoints.pop(-1), checkpoints, settings, out, metadata, log)


def gram(args: Namespace) -> None:
    """Make the gram of a run, or of one shard of it."""
    from alpharl.spectra import GRAM_VERSION
    from alpharl.spectra.gram import gram_run, write_gram

    part = (args.shard, args.shards)
    with staged({0: args.base, **_folders(args)}, args.stage) as checkpoints:
        found = gram_run(checkpoints.pop(0), checkpoints, part, log)
    made_from = {"base": str(args.base), "checkpoints": args.checkpoints}
    write_gram(found, args.out, made_from | {"version": GRAM_VERSION, "shard": part})


def dynamics(args: Namespace) -> None:
    """Fit each matrix's trajectory; write Parquet and its CSV twin."""
    from alpharl.dynamics.table import Settings, dynamics_table, summarize

    folders = _folders(args)
    settings = Settings(args.permutations, args.holdout, args.seed)
    found, products = _factors_of(args, folders, Depth(1)), _gram_of(args, folders)
    table = dynamics_table(found, products, _accuracy(args.scores), settings, log)
    _write_table(table, args.out)
    print(summarize(table).to_string())


def floor(args: Namespace) -> None:
    """Measure what bf16 storage alone does to an update; write Parquet and its CSV twin."""
    from alpharl.spectra.floor import floor_table, summarize
    from alpharl.spectra.lowrank import read_factors

    made = read_factors(args.factors) if args.factors else None
    table = floor_table(args.base, args.checkpoint, made, args.seed, log)
    _write_table(table, args.out)
    print(summarize(table).to_string())


# --- variants ---


def rank(args: Namespace) -> None:
    """Make a rank-k model of an update, a variation of it, or a control."""
    from alpharl.checkpoints.index import read_index
    from alpharl.study.recipes import Recipe
    from alpharl.variants import RANK_VERSION
    from alpharl.variants.ranks import rank_parts

    step = step_of(args.checkpoint) if args.step is None else args.step
    recipe = Recipe(args.kind, _depth(args), args.scale, args.rest or args.kind == "rest-only")
    found: dict[str, Factors] = {}
    if recipe.kind != "rest-only":  # nothing in scope: factors are not needed, and dear to make
        found = _factors_at(args.factors, args.base, args.checkpoint, recipe.reads)
    blend, adapter = rank_parts(recipe, step, found, args.seed, read_index(args.base).tensors)
    how = {"kind": recipe.kind, "scale": recipe.scale, "rest": recipe.rest, **asdict(recipe.depth)}
    how |= {"step": step, "seed": args.seed}
    _write(args, {step: args.checkpoint}, how | {"algorithm": RANK_VERSION}, blend, adapter)


def forecast(args: Namespace) -> None:
    """Forecast a later model from an early window, and print what was fitted."""
    from alpharl.checkpoints.index import read_index
    from alpharl.forecasting import VERSION
    from alpharl.forecasting.contract import Prediction, Window, norm_ratio
    from alpharl.forecasting.registry import predict

    folders = {s: path for s, path in _folders(args).items() if s <= args.through}
    if len(folders) < 2:
        raise MethodError(
            f"window through step {args.through} holds {len(folders)} checkpoints of "
            f"{args.checkpoints}, expected at least 2; widen the window"
        )
    options = _options(args.method, args.option)
    tensors = list(read_index(args.base).tensors)
    last = max(folders)
    target = round(args.target_multiple * last) if args.target_multiple else args.target_step
    window = Window(list(folders), target, tensors, **_inputs(args, folders, options))
    undefined = None
    try:
        prediction = predict(window, options)
    except UndefinedForecast as error:
        if not args.record_undefined:
            raise
        prediction, undefined = Prediction(), f"{args.method}: {error}"
    meta = {
        "kind": "forecast",
        "method": args.method,
        "options": options.model_dump(mode="json"),
        "algorithm": VERSION,
        "window_steps": window.steps,
        "target_step": window.target_step,
        "norm_ratio": None if undefined else norm_ratio(window, prediction),
        "undefined": undefined,
        "fit": prediction.fit,
    }
    _write(args, folders, meta, prediction.blend, prediction.adapter)
    shown = {key: value for key, value in meta.items() if key not in ("kind", "algorithm")}
    print(json.dumps(shown, indent=1))


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
    table = truth_table(args.variant, targets, read_gram(args.gram), log)
    _write_table(table, args.out)
    overall = table[table["tensor"] == OVERALL].drop(columns=["tensor", "layer", "module"])
    print(overall.to_string(index=False))


def export(args: Namespace) -> None:
    """Build a variant as a normal model folder."""
    from alpharl.variants.build import build_dense
    from alpharl.variants.store import read_variant

    build_dense(read_variant(args.variant), args.out, log)
    print(args.out)


# --- scores ---


def suite(args: Namespace) -> None:
    """Fix a suite's questions."""
    from alpharl.evaluation.suites import write_suite
    from alpharl.study.config import Suite

    write_suite(args.name, Suite.model_validate_json(args.spec), args.out)


def disjoint(args: Namespace) -> None:
    """Refuse questions that validation and test suites share."""
    from alpharl.evaluation.suites import read_suite, require_disjoint

    write_json(args.out, require_disjoint([read_suite(path) for path in args.suites]))


def evaluate(args: Namespace) -> None:
    """Score variants that have no result yet; one file each."""
    # No model hub is asked for anything, and a line per variant replaces a bar per batch. Both are
    # read when the libraries are imported.
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    from alpharl.evaluation.runner import score_variants
    from alpharl.evaluation.suites import read_suite

    named = [entry.partition("=") for entry in args.variant]
    variants = {name: Path(folder) for name, _, folder in named}
    settings = {"engine": args.engine, "dtype": args.dtype, "batch_size": args.batch_size}
    digests = _digests(args.manifests)
    score_variants(
        read_suite(args.suite), args.base, variants, digests, args.out, settings,
        {"run": args.run}, log,
    )  # fmt: skip


def accuracy(args: Namespace) -> None:
    """Collect the checkpoints' results into a table."""
    rows = [json.loads(path.read_text()) for path in args.scores]
    rows.sort(key=lambda row: int(row["variant"].removeprefix("step-")))
    lines = ["step,accuracy,stderr,n"]
    for row in rows:
        step = row["variant"].removeprefix("step-")
        lines.append(f"{step},{row['accuracy']:.6g},{row['stderr']:.6g},{row['n']}")
    write_text(args.out, "\n".join(lines) + "\n")


# --- shared by several verbs ---


def _depth(args: Namespace) -> Depth:
    """The depth that was asked for; rank 1 if none was."""
    percents = (args.percent_components, args.percent_parameters)
    rank = 1 if args.rank is None and not any(percents) else args.rank or 0
    if min(rank, *percents) < 0 or not any((rank, *percents)):
        raise MethodError(f"found rank {rank} and percentages {percents}, expected one above 0")
    return Depth(rank, *percents)


def _folders(args: Namespace) -> dict[int, Path]:
    found = at_steps(args.checkpoints, args.steps) if args.steps else find_steps(args.checkpoints)
    # Step 0 is the base, not an observation, also where it was saved with the run.
    return {step: found[step] for step in sorted(found) if step > 0}


def _accuracy(path: Path) -> dict[int, float]:
    """A table `step,accuracy` as a mapping."""
    try:
        with path.open(newline="") as file:
            return {int(row["step"]): float(row["accuracy"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise MethodError(
            f"{path}: expected a CSV with columns step,accuracy ({error!r})"
        ) from None


def _write_table(table: pd.DataFrame, out: Path) -> None:
    write_atomic(out.with_suffix(".csv"), lambda p: table.to_csv(p, index=False))
    write_atomic(out, lambda p: table.to_parquet(p, index=False))


def _factors_of(
    args: Namespace, folders: Mapping[int, Path], depth: Depth
) -> dict[int, dict[str, Factors]]:
    """Factors of each step."""
    found = {}
    for step, folder in folders.items():
        made = args.factors and _shards(args.factors.replace("{step}", str(step)), args.shards)
        found[step] = _factors_at(made, args.base, folder, depth)
    return found


def _factors_at(
    made: list[Path] | None, base: Path, checkpoint: Path, depth: Depth
) -> dict[str, Factors]:
    """Factors of one checkpoint: read where they were made before, else made now."""
    from alpharl.spectra.lowrank import read_factors

    if made:
        return read_factors(made)
    from alpharl.spectra.factors import Settings, factor_checkpoint

    log(f"factors of {checkpoint}")
    return factor_checkpoint(base, checkpoint, Settings(depth))


def _gram_of(args: Namespace, folders: Mapping[int, Path]) -> Gram:
    """Gram of the steps: read where it was made before, else made now."""
    from alpharl.spectra.gram import gram_run, read_gram

    if args.gram:
        return read_gram(_shards(args.gram, args.shards))
    log(f"gram of {len(folders)} checkpoints")
    return gram_run(args.base, dict(folders))


def _shards(pattern: str, count: int) -> list[Path]:
    return [Path(pattern.replace("{shard}", str(shard))) for shard in range(count)]


def _inputs(args: Namespace, folders: Mapping[int, Path], options: MethodOptions) -> dict[str, Any]:
    """What the method needs; the gram also where it was made before, for the norm ratio."""
    needs = options.needs
    return {
        "gram": _gram_of(args, folders) if "gram" in needs or args.gram else None,
        "factors": _factors_of(args, folders, Depth(1)) if "factors" in needs else None,
        "accuracy": _accuracy(args.scores) if args.scores else None,
    }


def _options(method: str, pairs: list[str]) -> MethodOptions:
    """Options `key=value` of a method, validated."""
    from alpharl.study.base import nearest
    from alpharl.study.config import describe_error
    from alpharl.study.methods import METHODS

    if method not in METHODS:
        raise MethodError(f"unknown method '{method}', {nearest(method, list(METHODS))}")
    values = {key: yaml.safe_load(value) for key, _, value in (p.partition("=") for p in pairs)}
    try:
        return METHODS[method](**values)  # type: ignore[return-value]
    except ValidationError as error:
        lines = "; ".join(describe_error(e) for e in error.errors())
        raise MethodError(f"{method}: option {lines}") from None


def _write(
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
        build_dense(read_variant(variant), args.out, log)


def _digests(manifests: list[Path]) -> Mapping[str, str]:
    """Digests of model folders by absolute path; a folder without a manifest is read and hashed."""
    from alpharl.checkpoints.manifest import KnownDigests

    return KnownDigests(manifests)
