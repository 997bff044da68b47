"""The null of all runs: weights that wander without data, reward or direction."""

from __future__ import annotations

import numpy as np
import torch
from transformers import PreTrainedModel

from alpharl.names import checkpoint_name
from alpharl.training.checkpoints import write_model
from alpharl.training.progress import Log
from alpharl.training.recipe import TrainRecipe
from alpharl.training.resume import clear
from alpharl.training.setup import Setup


def random_walk(setup: Setup) -> None:
    """Move every weight at random and write `step-<step>/` at the saved steps.

    A killed walk starts over from the base: its noise follows from the seed and the step, so that
    it passes through the same weights again, bit for bit.
    """
    spec, out = setup.spec, setup.out
    clear(out)
    log = Log(spec.algorithm, spec.steps, out)
    saved = set(spec.saved_steps())
    for step in range(1, spec.steps + 1):
        _step(setup.model, spec, step)
        if step in saved:
            write_model(setup.model, setup.tokenizer, out / checkpoint_name(step))
        log.add({"step": step, "learning_rate": spec.learning_rate})


def _step(model: PreTrainedModel, spec: TrainRecipe, step: int) -> None:
    """Add the noise of one step in place; tensors that the model ties are one parameter.

    NumPy draws it, on the processor: torch keeps only 32 bits of a seed, and its noise on a GPU
    is another.
    """
    rng = np.random.default_rng([spec.seed, step])
    with torch.no_grad():
        for weights in model.parameters():
            noise = rng.standard_normal(weights.shape, dtype=np.float32)
            noise *= spec.learning_rate
            weights += torch.from_numpy(noise).to(weights)
