"""Arguments that several verbs take, each explained once."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from alpharl.bounds import MOST_DEVICES, MOST_JOBS, MOST_SCALE
from alpharl.spectra.findings import FAULTS
from alpharl.verbs import numbers
from alpharl.verbs.numbers import number, whole
from alpharl.verbs.places import OutputFolder, OutputModel


def base(parser: argparse.ArgumentParser) -> None:
    """`--base`."""
    parser.add_argument(
        "--base", type=Path, required=True, metavar="FOLDER",
        help="model folder that training started from: step 0",
    )  # fmt: skip


def study(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """The study file, by position."""
    parser.add_argument(
        "study", type=Path, nargs=None if required else "?", metavar="STUDY",
        help="study file, such as my-study.yaml",
    )  # fmt: skip


def suite(parser: argparse.ArgumentParser) -> None:
    """`--suite`: the questions."""
    parser.add_argument(
        "--suite", type=Path, required=True, metavar="FILE",
        help="suite.json that `alpharl suite` or the workflow wrote",
    )  # fmt: skip


def checkpoints(parser: argparse.ArgumentParser) -> None:
    """`--checkpoints` and `--steps`: the checkpoints of a run."""
    parser.add_argument(
        "--checkpoints", nargs="+", required=True, metavar="PATTERN",
        help="model folders of a run: a pattern such as 'runs/foo/checkpoint-{step}', or "
        "STEP=FOLDER for each",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=numbers.step, nargs="+", metavar="STEP",
        help="steps to take (default: all that the pattern finds)",
    )  # fmt: skip


def files(parser: argparse.ArgumentParser) -> None:
    """`--factors`, `--gram`, `--shards`: what was made of the run before."""
    group = parser.add_argument_group("files made before, which save reading the weights again")
    group.add_argument(
        "--factors", metavar="PATTERN",
        help="files of `alpharl factors`, such as 'factors/step-{step}.safetensors'",
    )  # fmt: skip
    gram(group)


def gram(parser: argparse._ActionsContainer) -> None:
    """`--gram` and `--shards`: the gram of the run, made before."""
    parser.add_argument(
        "--gram", metavar="FILE", help="file of `alpharl gram` (default: make the gram)"
    )
    shards(parser)


def shards(parser: argparse._ActionsContainer) -> None:
    """`--shards`: files that a pattern stands for."""
    parser.add_argument(
        "--shards", type=whole(1, MOST_JOBS), default=1, metavar="N",
        help="number of shards, where a pattern holds {shard} (default: %(default)s)",
    )  # fmt: skip


def accept(parser: argparse.ArgumentParser) -> None:
    """`--accept`: faults that the audit may find."""
    parser.add_argument(
        "--accept", nargs="+", action="extend", default=[], choices=FAULTS, metavar="KIND",
        help="kinds of faults of the checkpoints that do not count, among %(choices)s",
    )  # fmt: skip


def scores(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """`--scores`: validation accuracy by step."""
    parser.add_argument(
        "--scores", type=Path, required=required, metavar="FILE",
        help="CSV with the columns step,accuracy: validation accuracy, step 0 being the base",
    )  # fmt: skip


def percents(parser: argparse._ActionsContainer, percent: Callable[[str], float]) -> None:
    """`--percent-components` and `--percent-parameters`: depth as a share of a matrix."""
    for name in ("components", "parameters"):
        parser.add_argument(
            f"--percent-{name}", type=percent, default=0.0, metavar="P",
            help=f"take as many triplets as P %% of a matrix's {name} (default: not used)",
        )  # fmt: skip


def stage(parser: argparse.ArgumentParser) -> None:
    """`--stage`: node-local copies."""
    parser.add_argument(
        "--stage", metavar="FOLDER",
        help="copy the weight files there first and read the copies, for example $TMPDIR on a node "
        "with a fast local disk",
    )  # fmt: skip


def shard(parser: argparse.ArgumentParser) -> None:
    """`--shard` and `--shards`: one part of a model."""
    parser.add_argument(
        "--shard", type=whole(0, MOST_JOBS), default=0, metavar="I",
        help="part of the model to work on, counted from 0 (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--shards", type=whole(1, MOST_JOBS), default=1, metavar="N",
        help="number of parts that the model's tensors are divided into, of equal bytes "
        "(default: %(default)s)",
    )  # fmt: skip


def gpus(parser: argparse.ArgumentParser) -> None:
    """`--gpus`: cards that the verb takes for itself."""
    parser.add_argument(
        "--gpus", type=whole(0, MOST_DEVICES), default=0, metavar="N",
        help="take N GPUs that no other job of yours holds, and wait until they are free "
        "(default: use all that are visible)",
    )  # fmt: skip


def manifests(parser: argparse.ArgumentParser) -> None:
    """`--manifests`: digests that are known, so that no model is read for them."""
    parser.add_argument(
        "--manifests", type=Path, nargs="*", default=[], metavar="FILE",
        help="manifests of model folders, or tables of them: their digests are known, and are not "
        "computed again",
    )  # fmt: skip


def seed(parser: argparse.ArgumentParser, words: str) -> None:
    """`--seed`: of what."""
    parser.add_argument(
        "--seed", type=numbers.seed, default=0, metavar="N",
        help=f"seed of {words} (default: %(default)s)",
    )  # fmt: skip


def variant_out(parser: argparse.ArgumentParser) -> None:
    """`--out` and `--dense`: where a variant goes, and as what."""
    parser.add_argument(
        "--out", type=Path, action=OutputModel, required=True, metavar="FOLDER",
        help="folder to write",
    )  # fmt: skip
    parser.add_argument(
        "--dense", action="store_true",
        help="write a normal model folder, in the base's dtype, instead of an adapter or a blend",
    )  # fmt: skip


def window(parser: argparse.ArgumentParser, required: bool) -> None:
    """`--through` and the target: what a forecast may see, and where it goes."""
    parser.add_argument(
        "--through", type=numbers.step, metavar="STEP",
        help="last step that the forecast may see (default: the last checkpoint)",
    )  # fmt: skip
    otherwise = "" if required else " (default: 2)"
    target = parser.add_mutually_exclusive_group(required=required)
    target.add_argument(
        "--target-step", type=numbers.step, metavar="STEP",
        help="step to forecast: one after --through",
    )  # fmt: skip
    target.add_argument(
        "--target-multiple", type=number(above=1, most=MOST_SCALE), metavar="X",
        help=f"forecast X times the window's last step, rounded{otherwise}",
    )  # fmt: skip
    target.add_argument(
        "--target-accuracy", type=number(above=0, most=1), metavar="A",
        help="forecast the model with this validation accuracy; a method that fits no accuracy "
        "takes the step that should reach it",
    )  # fmt: skip


def trials(parser: argparse.ArgumentParser) -> None:
    """`--suite`, `--trials`, `--manifests`, the engine: what scores trial models."""
    from alpharl.verbs.engine_options import add_engine_options

    group = parser.add_argument_group("trial models, which some methods and the verdict score")
    group.add_argument(
        "--suite", type=Path, metavar="FILE",
        help="suite.json of a validation suite to score trial models on (default: try none)",
    )  # fmt: skip
    group.add_argument(
        "--trials", type=Path, action=OutputFolder, metavar="FOLDER",
        help="keep the answers of trial models there, so that a killed job goes on where it was",
    )  # fmt: skip
    manifests(parser)
    add_engine_options(parser)
    gpus(parser)


def options(parser: argparse.ArgumentParser, form: str, words: str) -> None:
    """`--option`, which may be repeated."""
    parser.add_argument("--option", action="append", default=[], metavar=form, help=words)
