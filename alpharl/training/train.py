"""Trains one run from a base, checkpoint by checkpoint, and goes on where a killed one stopped."""

from __future__ import annotations

import os
from pathlib import Path

# TRL reports its use over the network otherwise; the libraries below read this when imported.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
)

from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.manifest import describe_model
from alpharl.study.training import TrainSpec
from alpharl.training import TRAIN_VERSION
from alpharl.training.checkpoints import SaveCheckpoints
from alpharl.training.progress import Progress, quiet
from alpharl.training.random_walk import random_walk
from alpharl.training.resume import FOLDER, find_state, remove_state


def train(spec: TrainSpec, base: Path, out: Path) -> None:
    """Train a run and write `out/step-<step>/` at its saved steps, and `out/training.csv`.

    A checkpoint folder holds float32 weights, configs and tokenizer, and is there whole or not at
    all. While the run lasts, `out/.resume/` holds the trainer's state. If the process dies, calling
    this again with the same recipe and base goes on from there, and on one CPU thread gives bit for
    bit what an uninterrupted run gives; with another recipe or base it starts over. A random walk
    stores no state: it always starts over, and gives the same.

    Raises:
        StudyError: `spec.args` holds what the trainer does not take.
        CheckpointError: `base` is no model folder.
    """
    digest = describe_model(read_index(base), step=0)["digest"]
    stamp = {"version": TRAIN_VERSION, "spec": spec.model_dump(mode="json"), "base": digest}
    quiet()
    tokenizer = AutoTokenizer.from_pretrained(base)
    # Steps of an RL run are smaller than the spacing of bfloat16 numbers near the weights.
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, use_safetensors=True)
    if spec.algorithm == "random-walk":
        random_walk(spec, model, tokenizer, out)
        return
    trainer, period = _make_trainer(spec, model, tokenizer, out / FOLDER)
    state = find_state(out, stamp)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(SaveCheckpoints(spec.saved_steps(), period, tokenizer, out))
    trainer.add_callback(Progress(spec.algorithm, out))
    trainer.train(resume_from_checkpoint=str(state) if state else None)
    remove_state(out)


def _make_trainer(
    spec: TrainSpec, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> tuple[Trainer, int]:
    """The algorithm's trainer, and its period in optimizer steps (see SaveCheckpoints)."""
    if spec.algorithm == "sft":
        from alpharl.training.sft import sft_trainer

        return sft_trainer(spec, model, tokenizer, folder), 1
    from alpharl.training.rl import rl_trainer

    return rl_trainer(spec, model, tokenizer, folder)
