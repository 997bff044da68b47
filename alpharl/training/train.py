"""Trains one run from a base, checkpoint by checkpoint, and goes on where a killed one stopped."""

from __future__ import annotations

import os
from pathlib import Path

# TRL reports its use over the network otherwise; the libraries below read this when imported.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # which parts are experimental: docs

import torch

from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.loaded import load_model, load_tokenizer
from alpharl.training.progress import quiet
from alpharl.training.questions import ProblemQuestions, Questions, ask
from alpharl.training.registry import ALGORITHMS
from alpharl.training.resume import FOLDER
from alpharl.training.setup import Setup
from alpharl.training.spec import TrainSpec


def train(
    spec: TrainSpec,
    base: Path,
    out: Path,
    questions: Questions | None = None,
    teacher: Path | None = None,
) -> None:
    """Train a run and write `out/step-<step>/` at its saved steps, and `out/training.csv`.

    A checkpoint folder holds weights, configs and tokenizer, and is there whole or not at all.
    While the run lasts, `out/.resume/` holds the trainer's state. If the process dies, calling this
    again with the same recipe and base goes on from there, and on one CPU thread gives bit for bit
    what an uninterrupted run gives; with another recipe or base it starts over.

    Called in each of several processes that a launcher started (`alpharl.training.processes`), they
    train together; the first one writes.

    Args:
        spec: the recipe.
        base: model folder.
        out: folder of the checkpoints.
        questions: of the recipe's problem; by default its own, if it makes its own.
        teacher: model folder of the teacher, if the algorithm learns from one.

    Raises:
        StudyError: `spec.args` holds what the trainer does not take, or this is not one of
            `spec.processes` processes.
        CheckpointError: `base` is no model folder, not complete or not finite.
    """
    read_index(base)
    quiet()
    tokenizer = load_tokenizer(base)
    dtype = getattr(torch, spec.dtype)
    model = load_model(base, dtype)
    asking = ask(spec, questions or ProblemQuestions(spec.problem, spec.options), tokenizer)
    setup = Setup(spec, model, tokenizer, asking, base, teacher, out, out / FOLDER)
    ALGORITHMS[spec.algorithm].train(setup)
