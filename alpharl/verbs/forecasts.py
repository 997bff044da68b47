"""Forecasts and the verdict on them: forecast, forecasts, trust."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from alpharl.checkpoints.files import write_json
from alpharl.errors import AlpharlError, MethodError, UndefinedForecast
from alpharl.verbs.inputs import (
    factors_of,
    gram_of,
    log,
    option_pair,
    read_accuracy,
    run_folders,
)
from alpharl.verbs.models import write_model
from alpharl.verbs.trials import trial_scorer

if TYPE_CHECKING:
    from alpharl.forecasting.contract import Window
    from alpharl.forecasting.registry import MethodOptions


def forecast(args: Namespace) -> None:
    """Forecast a later model from an early window, and print what was fitted."""
    log_verdict(_forecast(args, _options(args.method, args.option)))


def forecasts(args: Namespace) -> None:
    """Make many forecasts of one run, one folder each; an undefined one is recorded as such."""
    from alpharl.study.plan import FORECAST_VARIANTS

    windows: dict[tuple[int, int | None], Window] = {}
    for wanted in FORECAST_VARIANTS.validate_json(args.spec):
        target = {"target_step": wanted.target_step, "target_accuracy": wanted.target_accuracy}
        how = {
            "through": wanted.through,
            "amplitude": wanted.amplitude,
            "record_undefined": True,
        }
        one = Namespace(**{**vars(args), **target, **how, "out": args.out / wanted.name})
        log(f"{wanted.name}:")
        window = _forecast(one, wanted.options)
        # The verdict reads no factors, which are large.
        windows[wanted.through, wanted.target_step] = replace(window, factors=None)
    for window in windows.values():
        log_verdict(window)


def _forecast(args: Namespace, options: MethodOptions) -> Window:
    """Write one forecast and print what was fitted; the window that it was made from."""
    from alpharl.forecasting import VERSION
    from alpharl.forecasting.contract import Prediction, norm_ratio

    folders = window_folders(args)
    window = _window(args, folders, options)
    undefined = None
    try:
        prediction = options.forecast(window).scaled(args.amplitude)
    except UndefinedForecast as error:
        if not args.record_undefined:
            raise
        prediction, undefined = Prediction(), f"{options.method}: {error}"
    meta = {
        "kind": "forecast",
        "method": options.method,
        "options": options.model_dump(mode="json"),
        "algorithm": VERSION,
        "window_steps": window.steps,
        "target_step": _target_step(window),
        "target_accuracy": window.target_accuracy,
        "amplitude": args.amplitude,
        "norm_ratio": None if undefined else norm_ratio(window, prediction),
        "undefined": undefined,
        "logits": asdict(prediction.logits) if prediction.logits else None,
        "fit": prediction.fit,
    }
    write_model(args, folders, meta, prediction.blend, prediction.adapter)
    shown = {key: value for key, value in meta.items() if key not in ("kind", "algorithm")}
    print(json.dumps(shown, indent=1))
    return window


def trust(args: Namespace) -> None:
    """Say whether a forecast beyond the window is supported, by which method, how far, and why."""
    from alpharl.forecasting.trust import assess

    folders = window_folders(args)
    window = _window(args, folders, None)
    verdict = assess(window)
    if args.out:
        head = {"window_steps": window.steps, "target_step": window.need_target_step()}
        write_json(args.out, head | verdict.as_json())
    print("\n".join(verdict.lines))


def log_verdict(window: Window) -> None:
    """Say the verdict on a window as far as it can be had without scoring trial models.

    On standard error: standard output is the JSON of what was fitted.
    """
    from alpharl.forecasting.trust import assess

    try:
        verdict = assess(replace(window, validate=None))
    except AlpharlError as error:
        log(f"verdict: none: {error}")
        return
    log("verdict: " + "\n  ".join(verdict.lines))


def window_folders(args: Namespace) -> dict[int, Path]:
    """Model folders of the window's steps.

    Raises:
        MethodError: fewer than two.
    """
    every_folder = run_folders(args)
    through = args.through or max(every_folder, default=0)
    folders = {step: path for step, path in every_folder.items() if step <= through}
    if len(folders) < 2:
        raise MethodError(
            f"window through step {through} holds {len(folders)} checkpoints of "
            f"{' '.join(args.checkpoints)}, expected at least 2; widen the window"
        )
    return folders


def _window(args: Namespace, folders: Mapping[int, Path], options: MethodOptions | None) -> Window:
    """What the method may see, or without one the verdict: nothing that the window does not hold.

    The gram is always there: the verdict rests on it, and the size of what is predicted.
    """
    from alpharl.checkpoints.index import read_index
    from alpharl.forecasting.contract import Window

    last, reads = max(folders), options.reads if options else {"suite"}
    target = round(args.target_multiple * last) if args.target_multiple else args.target_step
    known = read_accuracy(args.scores) if args.scores else {}
    # First what may be refused, then what reads all checkpoints.
    validate = trial_scorer(args, folders) if "suite" in reads and args.suite else None
    gram, factors = gram_of(args, folders), None
    if options and "factors" in reads:
        factors = factors_of(args, folders, options.depth)
    return Window(
        list(folders),
        target,
        list(read_index(args.base).tensors),
        gram,
        factors,
        {step: a for step, a in known.items() if step <= last} or None,
        validate,
        args.target_accuracy,
    )


def _target_step(window: Window) -> int | None:
    """The step that is forecast, also where a method does not ask; None where no step is."""
    try:
        return window.need_target_step()
    except UndefinedForecast:
        return None


def _options(method: str, pairs: list[str]) -> MethodOptions:
    """Options `key=value` of a method, validated."""
    from alpharl.forecasting.registry import METHODS
    from alpharl.frozen import describe_error, nearest

    if method not in METHODS:
        raise MethodError(f"unknown method '{method}', {nearest(method, list(METHODS))}")
    values = dict(map(option_pair, pairs))
    try:
        return METHODS[method].model_validate(values)
    except ValidationError as error:
        lines = "; ".join(describe_error(e) for e in error.errors())
        raise MethodError(f"{method}: option {lines}") from None
