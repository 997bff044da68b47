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
from accelerate.utils import broadcast_object_list
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PrinterCallback,
    Trainer,
)

from alpharl.checkpoints.index import read_index
from alpharl.errors import StudyError
from alpharl.training.checkpoints import SaveCheckpoints
from alpharl.training.processes import is_main
from alpharl.training.progress import Progress, quiet
from alpharl.training.questions import ProblemQuestions, Questions, ask
from alpharl.training.resume import FOLDER, find_state, remove_state, stamp
from alpharl.training.setup import Setup
from alpharl.training.spec import Algorithm, TrainSpec

Builder = Callable[[Setup], tuple[Trainer, int]]
"""Makes a trainer, and its period in optimizer steps (see SaveCheckpoints)."""
Runner = Callable[[Setup], None]
"""Trains a run from beginning to end by itself, and writes the same files."""

_SAMPLED = "alpharl.training.rl:rl_trainer"
_BUILDERS: dict[Algorithm, str] = {
    "grpo": _SAMPLED,
    "dr-grpo": _SAMPLED,
    "dapo": _SAMPLED,
    "gspo": _SAMPLED,
    "rloo": _SAMPLED,
    "reinforce++": _SAMPLED,
    "ppo": _SAMPLED,
    "dpo": "alpharl.training.dpo:dpo_trainer",
    "online-dpo": "alpharl.training.online_dpo:online_dpo_trainer",
    "sft": "alpharl.training.sft:sft_trainer",
    "distill": "alpharl.training.distill:distill_trainer",
    "on-policy-distill": "alpharl.training.distill:on_policy_distill_trainer",
}
"""Where each algorithm's trainer is made; imported on use, since each takes seconds to load."""
_RUNNERS: dict[Algorithm, str] = {
    "es": "alpharl.training.es:evolve",
    "random-walk": "alpharl.training.random_walk:random_walk",
}


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
    what an uninterrupted run gives; with another recipe or base it starts over. `es` goes on from
    its last checkpoint and `random-walk` starts over; both end the same.

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
    if trainer.args.world_size != spec.processes:
        raise StudyError(
            f"processes: found {trainer.args.world_size} that train together, expected "
            f"{spec.processes}; run 'alpharl train', which starts them"
        )
    # Of several processes one looks, as looking clears away what is of no use.
    states = [find_state(out, stamp(setup), spec.processes) if is_main() else None]
    state = broadcast_object_list(states)[0]
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(SaveCheckpoints(spec.saved_steps(), period, tokenizer, out))
    if is_main():
        trainer.add_callback(Progress(spec.algorithm, out))
    trainer.train(resume_from_checkpoint=str(state) if state else None)
    trainer.accelerator.wait_for_everyone()
    if is_main():
        remove_state(out)


def _load(entry: str) -> Any:
    module, _, name = entry.partition(":")
    return getattr(import_module(module), name)
