"""Bases, runs and their manifests: pretrain, train, download, merge, manifest, checkpoints."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from alpharl.names import checkpoint_name

if TYPE_CHECKING:
    from alpharl.training.questions import Questions
    from alpharl.training.spec import TrainSpec


def pretrain(args: Namespace) -> None:
    """Pretrain a base and write its manifest."""
    from alpharl.checkpoints.manifest import write_manifest
    from alpharl.training.pretrain import pretrain as pretrain_base
    from alpharl.training.spec import PretrainSpec

    pretrain_base(PretrainSpec.model_validate_json(args.spec), args.out)
    write_manifest(args.out, 0, args.manifest)


def train(args: Namespace) -> None:
    """Train a run, in several processes if it says so; write a manifest for each checkpoint."""
    from alpharl.training.processes import alone, end_with_parent, launch, launched
    from alpharl.training.spec import TrainSpec

    spec = TrainSpec.model_validate_json(args.spec)
    if launched():
        end_with_parent()
        _train(args, spec)
        return
    with alone(args.out):
        if spec.processes > 1:
            launch(spec.processes, _again(args))
        else:
            _train(args, spec)


def _again(args: Namespace) -> list[str]:
    """The verb's arguments for one of several processes, which share the GPUs held here."""
    options = {"spec": args.spec, "base": args.base, "out": args.out, "manifests": args.manifests}
    options |= {name: getattr(args, name) for name in ("teacher", "data") if getattr(args, name)}
    given = [f"--{name}={value}" for name, value in options.items()]
    return ["train", *given, *(f"--without={path}" for path in args.without), "--gpus=0"]


def _train(args: Namespace, spec: TrainSpec) -> None:
    from alpharl.checkpoints.manifest import write_manifest
    from alpharl.training.processes import is_main
    from alpharl.training.train import train as train_run

    questions = _data_questions(args, spec) if args.data else None
    train_run(spec, args.base, args.out, questions, args.teacher)
    for step in spec.saved_steps() if is_main() else []:
        out = Path(args.manifests.replace("{step}", str(step)))
        write_manifest(args.out / checkpoint_name(step), step, out, args.base)


def _data_questions(args: Namespace, spec: TrainSpec) -> Questions:
    """Fetched questions of a data set, without those of suites."""
    from alpharl.evaluation.suites import read_suite
    from alpharl.evaluation.training_questions import DataQuestions

    scored = {question for path in args.without for question in read_suite(path).questions}
    return DataQuestions(spec.problem, args.data, scored)


def download(args: Namespace) -> None:
    """Fetch a model from a hub."""
    from alpharl.checkpoints import hub

    hub.download(args.repo, args.revision, args.out, args.record)


def merge(args: Namespace) -> None:
    """Have verl merge the shards that it saved of a checkpoint."""
    from alpharl.checkpoints.verl import merge as merge_shards

    merge_shards(args.environment, args.checkpoint, args.out, args.record)


def manifest(args: Namespace) -> None:
    """Check a checkpoint against its base and write its manifest."""
    from alpharl.checkpoints.manifest import write_manifest

    write_manifest(args.checkpoint, args.step, args.out, args.base, args.manifests)


def checkpoints(args: Namespace) -> None:
    """Collect a run's manifests into one table."""
    from alpharl.checkpoints.manifest import write_checkpoints

    write_checkpoints(args.run, args.base, args.manifests, args.out)
