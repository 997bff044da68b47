"""Evolution strategies: weights that move towards those of their random neighbours that do well.

Source: arXiv 2509.24372. Each step scores `population_size` copies of the model, each with Gaussian
noise of its own added to every weight, by their greedy answers to the same questions; the z-scores
of the rewards then weigh the noises in the step. No gradient, no ranks, no decay.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import Field, ValidationError
from torch import Tensor
from transformers import GenerationConfig

from alpharl.bounds import Count
from alpharl.errors import StudyError
from alpharl.frozen import Frozen
from alpharl.names import checkpoint_name
from alpharl.problems.tokenizers import end_tokens, padding_token
from alpharl.training.checkpoints import write_model
from alpharl.training.padding import left_padded
from alpharl.training.progress import Log, read_log
from alpharl.training.recipe import Rate
from alpharl.training.resume import find_checkpoint, load_weights, remove_state, stamp
from alpharl.training.setup import Setup


class ESConfig(Frozen):
    """What `args` of a run with `es` may say. The paper's alpha is the run's `learning_rate`."""

    population_size: int = Field(default=30, gt=1)
    """Perturbed copies that are scored in each step."""
    sigma: Rate = 1e-3
    """Standard deviation of the noise on each weight."""
    num_questions: Count = 128
    """Questions that each copy of a step answers, the same for all."""
    max_completion_length: Count | None = None
    """Tokens of an answer; the problem's own number if left out."""


def evolve(setup: Setup) -> None:
    """Train a run and write `step-<step>/` at the saved steps.

    What a step does follows from the weights, the seed and the step's number. So a killed run goes
    on from its last checkpoint, and ends with the same weights, bit for bit.

    The weights of the step are kept beside the perturbed ones, in as much memory again: taking the
    noise off by subtraction would leave rounding errors behind. Noise is never kept.

    Raises:
        StudyError: `spec.args` holds what ESConfig does not take.
    """
    spec, out = setup.spec, setup.out
    config = es_config(spec.args)
    began, saved = _resume(setup), set(spec.saved_steps())
    population = Population(setup, config)
    log = Log(spec.algorithm, spec.steps, out, read_log(out, began))
    for step in range(began + 1, spec.steps + 1):
        log.add(population.step(step))
        if step in saved:
            write_model(setup.model, setup.tokenizer, out / checkpoint_name(step))
    remove_state(out)


def es_config(args: dict[str, Any]) -> ESConfig:
    """The options of `args`.

    Raises:
        StudyError: an unknown option, or a bad value.
    """
    try:
        return ESConfig.model_validate(args)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{key}: " for key in first["loc"])
        raise StudyError(f"args: {where}{first['msg']}") from error


class Population:
    """A model and its perturbed copies, of which one exists at a time, in the model's place."""

    def __init__(self, setup: Setup, config: ESConfig) -> None:
        self._setup, self._config = setup, config
        self._model = setup.model.eval().requires_grad_(False)
        # Tensors that the model ties are one parameter.
        self._weights = list(self._model.parameters())
        self._draws = setup.asking.draw(setup.spec.seed, setup.spec.steps * config.num_questions)
        self._generation = _greedy(setup, config)

    def step(self, step: int) -> dict[str, Any]:
        """Move the weights by the step of a number, and tell how the population did."""
        config = self._config
        stop = step * config.num_questions
        indices = self._draws[stop - config.num_questions : stop]
        centres = [weights.clone() for weights in self._weights]
        prompts = self._prompts(indices)
        scores = []
        for member in range(config.population_size):
            self._perturb(centres, step, member)
            scores.append(self._score(prompts, indices))
        rewards = np.array([reward for reward, _ in scores])
        self._move(centres, step, z_scores(rewards))
        return {
            "step": step,
            "reward": float(rewards.mean()),
            "completions/mean_length": float(np.mean([length for _, length in scores])),
            "learning_rate": self._setup.spec.learning_rate,
        }

    def _perturb(self, centres: list[Tensor], step: int, member: int) -> None:
        """Put a member of the population in the model's place, tensor by tensor."""
        for i, (weights, centre) in enumerate(zip(self._weights, centres, strict=True)):
            noise = self._noise(step, member, i)
            weights.copy_(torch.add(centre, noise, alpha=self._config.sigma))

    def _move(self, centres: list[Tensor], step: int, z: np.ndarray) -> None:
        """Move from the kept weights by alpha / N times the sum of z-score times noise."""
        scale = self._setup.spec.learning_rate / self._config.population_size
        for i, (weights, centre) in enumerate(zip(self._weights, centres, strict=True)):
            total = torch.zeros_like(centre, dtype=torch.float32)
            for member in range(self._config.population_size):
                total.add_(self._noise(step, member, i), alpha=float(z[member]))
            weights.copy_(torch.add(centre, total, alpha=scale))

    def _noise(self, step: int, member: int, i: int) -> Tensor:
        """The noise of a member on its i-th tensor, the same on any device: NumPy draws it."""
        weights = self._weights[i]
        rng = np.random.default_rng([self._setup.spec.seed, step, member, i])
        noise = rng.standard_normal(weights.shape, dtype=np.float32)
        return torch.from_numpy(noise).to(weights.device)

    def _score(self, prompts: dict[str, Tensor], indices: list[int]) -> tuple[float, float]:
        """Share of right greedy answers, and tokens per answer with the one that ends it."""
        tokens = self._model.generate(**prompts, generation_config=self._generation)
        answers = tokens[:, prompts["input_ids"].shape[1] :]
        texts = self._setup.tokenizer.batch_decode(answers, skip_special_tokens=True)
        rewards = self._setup.asking.rewards(indices, texts)
        ended = torch.isin(answers, torch.tensor(self._generation.eos_token_id).to(answers))
        lengths = (ended.cumsum(dim=1) - ended.long() == 0).sum(dim=1)
        return sum(rewards) / len(rewards), float(lengths.float().mean())

    def _prompts(self, indices: list[int]) -> dict[str, Tensor]:
        """Questions in tokens, padded on the left."""
        rows = [self._setup.asking.ids(index) for index in indices]
        ids, mask = left_padded(rows, self._generation.pad_token_id)
        device = self._model.device
        return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


def z_scores(rewards: np.ndarray) -> np.ndarray:
    """Rewards less their mean, by their standard deviation; zeros if they are all the same."""
    spread = float(rewards.std())
    return (rewards - rewards.mean()) / spread if spread else np.zeros_like(rewards)


def _greedy(setup: Setup, config: ESConfig) -> GenerationConfig:
    rows = setup.model.get_input_embeddings().weight.shape[0]
    ends = end_tokens(setup.model.generation_config.eos_token_id, setup.tokenizer, rows)
    return GenerationConfig(
        do_sample=False,
        max_new_tokens=config.max_completion_length or setup.asking.questions.budget,
        eos_token_id=ends,
        pad_token_id=padding_token(setup.tokenizer, ends, rows),
        repetition_penalty=1.0,  # some instruction models' own settings have another
    )


def _resume(setup: Setup) -> int:
    """The step to go on from, with its weights in the model; 0 with the base's."""
    step = find_checkpoint(setup.out, stamp(setup), setup.spec.saved_steps())
    if step == 0:
        return 0
    load_weights(setup.model, setup.out / checkpoint_name(step))
    return step
