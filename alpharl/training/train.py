"""Trains one run from a base, checkpoint by checkpoint, and goes on where a killed one stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# TRL reports its use over the network otherwise; the libraries below read this when imported.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # which parts are experimental: docs

import torch

from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.loaded import load_model
from alpharl.errors import PromptError
from alpharl.problems.prompts import require_room
from alpharl.problems.tokenizers import end_tokens, fitted, load_tokenizer
from alpharl.training.progress import quiet
from alpharl.training.questions import Asking, ProblemQuestions, Questions, ask
from alpharl.training.registry import ALGORITHMS
from alpharl.training.resume import FOLDER
from alpharl.training.setup import Setup
from alpharl.training.spec import BUDGETS, TrainSpec


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
        PromptError: the base's tokenizer makes no prompt that the base can answer.
    """
    read_index(base)
    quiet()
    tokenizer = load_tokenizer(base)
    dtype = getattr(torch, spec.dtype)
    model = load_model(base, dtype)
    rows = model.get_input_embeddings().weight.shape[0]
    ends = end_tokens(model.generation_config.eos_token_id, tokenizer, rows)
    if not ends:
        raise PromptError(
            f"{base}: found no end token that the model can write, expected one; name it as "
            "'eos_token_id' in generation_config.json"
        )
    questions = questions or ProblemQuestions(spec.problem, spec.options)
    asking = ask(spec, questions, tokenizer, ends, rows)
    _require_room(spec, asking, model.config.get_text_config())
    own = fitted(tokenizer, ends, rows)
    setup = Setup(spec, model, own, asking, base, teacher, out, out / FOLDER)
    ALGORITHMS[spec.algorithm].train(setup)


def _require_room(spec: TrainSpec, asking: Asking, config: Any) -> None:
    """Refuse prompts that do not fit into the base's context with their completions."""
    given = [spec.args.get(option) for option in BUDGETS]
    budget = next((b for b in given if isinstance(b, int)), asking.questions.budget)
    budget = budget if ALGORITHMS[spec.algorithm].samples else 0
    positions = getattr(config, "max_position_embeddings", None)
    option = "the tokens of a completion in 'args'"
    require_room(asking.longest(), budget, positions, spec.algorithm, option)
