"""What follows no gradient: evolution strategies, and the null of all runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alpharl.training.algorithm import Algorithm

if TYPE_CHECKING:
    from alpharl.training.setup import Setup


class EvolutionStrategies(Algorithm):
    """Evolution strategies: steps towards random neighbours whose greedy answers are right.
    `learning_rate` is the paper's alpha. Holds the weights twice."""

    name = "es"
    source = "arXiv 2509.24372"
    args = ("population_size", "sigma", "num_questions", "max_completion_length")
    gradient = False
    passes = 2
    rows = ("num_questions", 8)
    rounds = ("population_size", 30)

    def train(self, setup: Setup) -> None:
        """Evolve; a killed run goes on from its last checkpoint."""
        from alpharl.training.es import evolve

        evolve(setup)


class RandomWalk(Algorithm):
    """The null of all runs, without data or reward: each step moves every weight by Gaussian noise
    of standard deviation `learning_rate`, about as AdamW does on gradients of pure noise."""

    name = "random-walk"
    samples = False
    gradient = False

    def train(self, setup: Setup) -> None:
        """Walk; a killed walk starts over and ends the same."""
        from alpharl.training.random_walk import random_walk

        random_walk(setup)
