"""Rank-k models and forecasts: rank, forecast, truth, export."""

from __future__ import annotations

import json
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from alpharl.checkpoints.sources import step_of
from alpharl.errors import MethodError, StudyError, UndefinedForecast
from alpharl.study.depth import Depth
from alpharl.verbs.inputs import (
    factors_at,
    factors_of,
    gram_of,
    log,
    read_accuracy,
    run_folders,
    write_table,
)
from alpharl.verbs.trials import trial_scorer

if TYPE_CHECKING:
    from alpharl.forecasting.contract import Blend, Window
    from alpharl.spectra.lowrank import Factors, LowRank
    from alpharl.study.methods import MethodOptions


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
        found = factors_at(args.factors, args.base, args.checkpoint, recipe.reads)
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

    folders = {s: path for s, path in run_folders(args).items() if s <= args.through}
    if len(folders) < 2:
        raise MethodError(
            f"window through step {args.through} holds {len(folders)} checkpoints of "
            f"{args.checkpoints}, expected at least 2; widen the window"
        )
    options = _options(args.method, args.option)
    tensors = list(read_index(args.base).tensors)
    last = max(folders)
    target = round(args.target_multiple * last) if args.target_multiple else args.target_step
    inputs = _inputs(args, folders, options)
    window = Window(list(folders), target, tensors, **inputs, target_accuracy=args.target_accuracy)
    undefined = None
    try:
        prediction = predict(window, options).scaled(args.amplitude)
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
        "target_step": _target_step(window),
        "target_accuracy": window.target_accuracy,
        "amplitude": args.amplitude,
        "norm_ratio": None if undefined else norm_ratio(window, prediction),
        "undefined": undefined,
        "fit": prediction.fit,
    }
    if prediction.logits:
        meta["logits"] = asdict(prediction.logits)
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
    write_table(table, args.out)
    overall = table[table["tensor"] == OVERALL].drop(columns=["tensor", "layer", "module"])
    print(overall.to_string(index=False))


def export(args: Namespace) -> None:
    """Build a variant as a normal model folder."""
    from alpharl.variants.build import build_dense
    from alpharl.variants.store import read_variant

    build_dense(read_variant(args.variant), args.out, log)
    print(args.out)


def _depth(args: Namespace) -> Depth:
    """The depth that was asked for; rank 1 if none was."""
    percents = (args.percent_components, args.percent_parameters)
    rank = 1 if args.rank is None and not any(percents) else args.rank or 0
    if min(rank, *percents) < 0 or not any((rank, *percents)):
        raise MethodError(f"found rank {rank} and percentages {percents}, expected one above 0")
    return Depth(rank, *percents)


def _target_step(window: Window) -> int | None:
    """The step that is forecast, also where a method does not ask; None where no step is."""
    try:
        return window.need_target_step()
    except UndefinedForecast:
        return None


def _inputs(args: Namespace, folders: Mapping[int, Path], options: MethodOptions) -> dict[str, Any]:
    """What the method reads; the gram also where it was made before, for the norm ratio.

    Of accuracies only those that were known by the window's last step.
    """
    reads, known = options.reads, read_accuracy(args.scores) if args.scores else {}
    return {
        "gram": gram_of(args, folders) if "gram" in reads or args.gram else None,
        "factors": factors_of(args, folders, options.depth) if "factors" in reads else None,
        "accuracy": {step: a for step, a in known.items() if step <= args.through} or None,
        "validate": trial_scorer(args, folders) if "suite" in reads and args.suite else None,
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
