"""A run as its trainer gets it, for tests that look into the trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from alpharl.training.algorithm import TrainerAlgorithm
from alpharl.training.questions import ProblemQuestions, ask
from alpharl.training.registry import ALGORITHMS
from alpharl.training.setup import Setup
from alpharl.training.spec import TrainSpec
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel


def setup_of(spec: TrainSpec, base: Path, out: Path, teacher: Path | None = None) -> Setup:
    """A run of the recipe from the base, about to be trained."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    asking = ask(spec, ProblemQuestions(spec.problem, spec.options), tokenizer)
    return Setup(spec, model, tokenizer, asking, base, teacher, out, out / ".resume")


def trainer_of(setup: Setup) -> Any:
    """The trainer of a run whose algorithm has one."""
    algorithm = ALGORITHMS[setup.spec.algorithm]
    assert isinstance(algorithm, TrainerAlgorithm)
    return algorithm.trainer(setup)[0]


def moved(model: PreTrainedModel, scale: float = 0.05) -> PreTrainedModel:
    """The model after a step in a random direction, away from its reference."""
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight += scale * torch.randn(weight.shape, generator=noise)
    return model


@torch.no_grad()
def logps(folder_or_model: Path | PreTrainedModel, prompt: list[int], rest: list[int]) -> Tensor:
    """(len(rest), vocabulary) float64 log-probabilities at the tokens of a completion."""
    model = folder_or_model
    if isinstance(model, Path):
        model = AutoModelForCausalLM.from_pretrained(model)
    logits = model(torch.tensor([prompt + rest])).logits[0, len(prompt) - 1 : -1]
    return logits.double().log_softmax(-1)
