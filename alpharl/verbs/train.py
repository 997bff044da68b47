"""Train a run from a base, with checkpoints at regular steps.

Call it again after a kill: the run goes on where it was. Where the recipe says `processes`, it
starts so many, and each takes one GPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from alpharl.errors import StudyError
from alpharl.names import checkpoint_name
from alpharl.verbs import shared
from alpharl.verbs.inputs import json_value, validated
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputFile, OutputFolders, Values
from alpharl.verbs.result import Written

if TYPE_CHECKING:
    from alpharl.training.questions import Questions
    from alpharl.training.spec import TrainSpec

RESUME = ".resume"
"""What a killed run leaves in its folder (`alpharl.training.resume`, which loads torch)."""
EXAMPLE = (
    'alpharl train --spec \'{"algorithm": "sft", "steps": 2, "save_every": 1}\' --base models/base '
    "--out runs/sft"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "--spec", required=True, metavar="JSON",
        help="recipe: what a study file has under a run's `train`, as JSON",
    )  # fmt: skip
    shared.base(parser)
    parser.add_argument(
        "--out", type=Path, action=OutputFolders, writes=_checkpoints, required=True,
        metavar="FOLDER", help="folder to write: step-N folders and training.csv",
    )  # fmt: skip
    parser.add_argument(
        "--manifests", action=OutputFile, writes=_manifests, metavar="PATTERN",
        help="manifests of the checkpoints to write too, their files with their digests, such as "
        "'manifests/step-{step}.json'",
    )  # fmt: skip
    parser.add_argument(
        "--teacher", type=Path, metavar="FOLDER",
        help="model folder to learn from, for algorithms that distill",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, metavar="FILE",
        help="questions that `alpharl fetch` wrote, where the recipe's problem is a data set",
    )  # fmt: skip
    parser.add_argument(
        "--without", type=Path, action="append", default=[], metavar="FILE",
        help="suite.json whose questions are not trained on; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--replace", action="store_true",
        help="start over where --out holds the checkpoints of a finished run (default: refuse)",
    )  # fmt: skip
    shared.gpus(parser)
    prints(parser, Written)


def run(
    spec: str,
    base: Path,
    out: Path,
    manifests: str | None,
    teacher: Path | None,
    data: Path | None,
    without: list[Path],
    replace: bool,
    gpus: int,
) -> Written:
    """Train the run, in several processes if it says so."""
    from alpharl.gpu import cards
    from alpharl.sums import write_sums
    from alpharl.training.processes import alone, end_with_parent, launch, launched

    recipe = _recipe(spec)
    if launched():  # by the lines below, in another process, which holds the GPUs and writes
        end_with_parent()
        _train(recipe, base, out, teacher, data, without)
        return Written(written=[])
    with cards(gpus), alone(out):
        if not replace:
            _require_unfinished(out)
        if recipe.processes > 1:
            launch(recipe.processes, _arguments(spec, base, out, teacher, data, without))
        else:
            _train(recipe, base, out, teacher, data, without)
        write_sums(out / "training.sha256", [out / "training.csv"])
        described = _write_manifests(recipe, base, out, manifests) if manifests else []
    saved = [out / checkpoint_name(step) for step in recipe.saved_steps()]
    return Written(written=[str(path) for path in [*saved, out / "training.csv", *described]])


def _recipe(spec: str) -> TrainSpec:
    from alpharl.training.spec import TrainSpec

    return validated(TrainSpec, json_value(spec, "--spec"))


def _checkpoints(values: Values) -> list[Path]:
    """The checkpoints that are written, and those of another run that would go."""
    saved = [
        values["out"] / checkpoint_name(step) for step in _recipe(values["spec"]).saved_steps()
    ]
    return [*dict.fromkeys([*saved, *values["out"].glob("step-*")])]


def _manifests(values: Values) -> list[Path]:
    steps = _recipe(values["spec"]).saved_steps()
    return [Path(values["manifests"].replace("{step}", str(step))) for step in steps]


def _require_unfinished(out: Path) -> None:
    """Refuse to train over checkpoints that no killed run has left to go on from.

    Raises:
        StudyError: there are some.
    """
    saved = sorted(out.glob("step-*"))
    if saved and not (out / RESUME).is_dir():
        raise StudyError(
            f"{out}: found {saved[0].name} of a finished run, expected a new folder; name another, "
            "or delete these checkpoints with --replace"
        )


def _arguments(
    spec: str, base: Path, out: Path, teacher: Path | None, data: Path | None, without: list[Path]
) -> list[str]:
    """The command line of one of several processes, which share the GPUs held here."""
    options = {"spec": spec, "base": base, "out": out, "teacher": teacher, "data": data}
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return ["train", *given, *(f"--without={path}" for path in without), "--gpus=0"]


def _train(
    recipe: TrainSpec,
    base: Path,
    out: Path,
    teacher: Path | None,
    data: Path | None,
    without: list[Path],
) -> None:
    from alpharl.training.train import train

    train(recipe, base, out, _data_questions(recipe, data, without) if data else None, teacher)


def _data_questions(recipe: TrainSpec, data: Path, without: list[Path]) -> Questions:
    """Fetched questions of a data set, without those of suites."""
    from alpharl.evaluation.suites import read_suite
    from alpharl.evaluation.training_questions import DataQuestions

    scored = {question for path in without for question in read_suite(path).questions}
    return DataQuestions(recipe.problem, data, scored)


def _write_manifests(recipe: TrainSpec, base: Path, out: Path, pattern: str) -> list[Path]:
    from alpharl.checkpoints.manifest import write_manifest

    files = {step: Path(pattern.replace("{step}", str(step))) for step in recipe.saved_steps()}
    for step, file in files.items():
        write_manifest(out / checkpoint_name(step), step, file, base)
    return list(files.values())
