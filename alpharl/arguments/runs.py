"""Arguments of the verbs about studies, bases and runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from alpharl.arguments.shared import Adder, gpus, verb


def study_verbs(add: Adder[argparse.ArgumentParser]) -> None:
    """check, status, init, methods, report."""
    check = verb(add, "check", "Validate a study file and print what it would make.")
    check.add_argument("study", type=Path)
    check.add_argument("--cost", action="store_true", help="hours, disk and memory per stage")
    status = verb(add, "status", "How far a study is, its jobs on a cluster, and what failed.")
    status.add_argument("study", type=Path)
    _init(verb(add, "init", "Write a study file for checkpoints, or a profile for a cluster."))
    verb(add, "methods", "List the forecasting methods with source, inputs and cost.")
    report = verb(add, "report", "Write a study's report from its finished results.")
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
    slurm.add_argument("--gpu-syntax", choices=["gpus", "gres"], help="option of sbatch")
    slurm.add_argument("--force", action="store_true", help="also over files that were changed")


def training_verbs(add: Adder[argparse.ArgumentParser]) -> None:
    """Bases, runs, and checkpoints that were trained elsewhere."""
    pretrain = verb(add, "pretrain", "Pretrain a small base and write its manifest.")
    pretrain.add_argument("--spec", required=True, help="PretrainSpec as JSON")
    pretrain.add_argument("--out", type=Path, required=True, help="model folder")
    pretrain.add_argument("--manifest", type=Path, required=True)
    gpus(pretrain)
    train = verb(add, "train", "Train a run; resumes where a killed one stopped.")
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
    gpus(train)
    download = verb(add, "download", "Fetch a model from a hub: safetensors, configs, tokenizer.")
    download.add_argument("--repo", required=True, help="org/name")
    download.add_argument("--revision", default="main", help="branch, tag or commit")
    download.add_argument("--out", type=Path, required=True, help="model folder")
    download.add_argument("--record", type=Path, required=True, help="JSON: what was fetched")
    merge = verb(add, "merge", "Have verl's own merger make a model folder of its shards.")
    merge.add_argument("--environment", type=Path, required=True, help="where verl is installed")
    merge.add_argument(
        "--checkpoint", type=Path, required=True, help="global_step_N, or the folder of the shards"
    )
    merge.add_argument("--out", type=Path, required=True, help="model folder")
    merge.add_argument("--record", type=Path, required=True, help="JSON: what was merged how")
    manifest = verb(add, "manifest", "Check a checkpoint against its base; write its manifest.")
    manifest.add_argument("--checkpoint", type=Path, required=True)
    manifest.add_argument("--step", type=int, required=True)
    manifest.add_argument("--base", type=Path, help="model folder whose tensors it must have")
    manifest.add_argument("--manifests", type=Path, nargs="*", default=[], help="the base's own")
    manifest.add_argument("--out", type=Path, required=True)
    table = verb(add, "checkpoints", "Collect a run's manifests into one table.")
    table.add_argument("--run", required=True)
    table.add_argument("--base", required=True, help="name of the base")
    table.add_argument("--manifests", type=Path, nargs="+", required=True)
    table.add_argument("--out", type=Path, required=True)
