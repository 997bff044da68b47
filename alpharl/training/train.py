"""Trains one run from a base, checkpoint by checkpoint, and goes on where a killed one stopped."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

# TRL reports its use over the network otherwise; the libraries below read this when imported.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # which parts are experimental: docs

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PrinterCallback,
    Trainer,
)

from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.manifest import describe_model, digest_json
from alpharl.study.training import Algorithm, TrainSpec
from alpharl.training import TRAIN_VERSION
from alpharl.training.checkpoints import SaveCheckpoints
from alpharl.training.progress import Progress, quiet
from alpharl.training.questions import ProblemQuestions, Questions, ask
from alpharl.training.resume import FOLDER, find_state, remove_state
from alpharl.training.setup import Setup

Builder = Callable[[Setup], tuple[Trainer, int]]
"""Makes a trainer, and its period in optimizer steps (see SaveCheckpoints)."""
Runner = Callable[[Setup], None]
"""Trains a run from beginning to end by itself, and writes the same files."""

_GRPO_FAMILY = "alpharl.training.rl:rl_trainer"
_BUILDERS: dict[Algorithm, str] = {
    "grpo": _GRPO_FAMILY,
    "dr-grpo": _GRPO_FAMILY,
    "dapo": _GRPO_FAMILY,
    "gspo": _GRPO_FAMILY,
    "dpo": "alpharl.training.dpo:dpo_trainer",
    "online-dpo": "alpharl.training.online_dpo:online_dpo_trainer",
    "sft": "alpharl.training.sft:sft_trainer",
    "distill": "alpharl.training.distill:distill_trainer",
    "on-policy-distill": "alpharl.training.distill:on_policy_distill_trainer",
}
"""Where each algorithm's trainer is made; imported on use, since each takes seconds to load."""
_RUNNERS: dict[Algorithm, str] = {"random-walk": "alpharl.training.random_walk:random_walk"}


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
    what an uninterrupted run gives; with another recipe or base it starts over. Algorithms without
    a trainer of their own store no state: they always start over, and give the same.

    Args:
        spec: the recipe.
        base: model folder.
        out: folder of the checkpoints.
        questions: of the recipe's problem; by default its own, if it makes its own.
        teacher: model folder of the teacher, if the algorithm learns from one.

    Raises:
        StudyError: `spec.args` holds what the trainer does not take.
        CheckpointError: `base` is no model folder.
    """
    read_index(base)
    quiet()
    tokenizer = AutoTokenizer.from_pretrained(base)
    dtype = getattr(torch, spec.dtype)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, use_safetensors=True)
    asking = ask(spec, questions or ProblemQuestions(spec.problem, spec.options), tokenizer)
    setup = Setup(spec, model, tokenizer, asking, base, teacher, out, out / FOLDER)
    if spec.algorithm in _RUNNERS:
        run: Runner = _load(_RUNNERS[spec.algorithm])
        run(setup)
        return
    build: Builder = _load(_BUILDERS[spec.algorithm])
    trainer, period = build(setup)
    state = find_state(out, _stamp(setup))
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(SaveCheckpoints(spec.saved_steps(), period, tokenizer, out))
    trainer.add_callback(Progress(spec.algorithm, out))
    trainer.train(resume_from_checkpoint=str(state) if state else None)
    remove_state(out)


def _stamp(setup: Setup) -> dict[str, Any]:
    """What a stored state was made from."""
    models = {"base": setup.base, **({"teacher": setup.teacher} if setup.teacher else {})}
    digests = {k: describe_model(read_index(folder), 0)["digest"] for k, folder in models.items()}
    asked = digest_json(list(setup.asking.questions.texts))
    spec = setup.spec.model_dump(mode="json")
    return {"version": TRAIN_VERSION, "spec": spec, "questions": asked, **digests}


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
