"""The contract of a training algorithm: what a study has to know of it, and how it trains.

Whoever reads a study imports all algorithms, and TRL takes seconds to load: what trains imports it
inside a function.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from transformers import Trainer

    from alpharl.training.setup import Setup


class Algorithm(ABC):
    """One algorithm. The first paragraph of a subclass's docstring says how a run learns."""

    name: ClassVar[str]
    """Its name in study files."""
    source: ClassVar[str] = ""
    """The paper that it follows; empty for none."""
    args: ClassVar[tuple[str, ...]] = ()
    """What `args` of a run may say: the classes whose options these are, such as `trl.GRPOConfig`,
    and options besides; empty for nothing."""

    rl: ClassVar[bool] = False
    """Whether it weighs its own samples by an advantage made of a reward."""
    teacher: ClassVar[bool] = False
    """Whether it learns from a teacher."""
    samples: ClassVar[bool] = True
    """Whether a model answers its questions, within the tokens that a completion may have."""
    gradient: ClassVar[bool] = True
    """Whether it follows a gradient. One that does not has no optimizer and no adapter, and trains
    in a single process."""

    passes: ClassVar[int] = 8
    """Floating point operations per token and parameter, for the estimate of time: 2 for a pass
    forward, 6 for a gradient. By default a gradient, and what a teacher or a reference thinks."""
    rows: ClassVar[tuple[str, int]] = ("per_device_train_batch_size", 8)
    """The option that says how many completions a process works on at once, and the number that is
    estimated with where a run does not give it."""
    rounds: ClassVar[tuple[str, int]] = ("gradient_accumulation_steps", 1)
    """Likewise, how often it does so in each step."""

    @abstractmethod
    def train(self, setup: Setup) -> None:
        """Train a run from its beginning, or from where it was killed, to its end.

        Writes `step-<step>/` at the recipe's saved steps, each whole or not at all, and a row per
        step into `training.csv` (`alpharl.training.progress.Log`).

        Raises:
            StudyError: `args` of the run holds what the algorithm does not take.
        """


class TrainerAlgorithm(Algorithm):
    """An algorithm with a trainer of transformers or TRL, whose state lets a killed run go on."""

    @abstractmethod
    def trainer(self, setup: Setup) -> tuple[Trainer, int]:
        """Make the trainer; `alpharl.training.options.trainer_config` makes its config.

        Returns:
            The trainer, and the optimizer steps from one moment at which all sampled completions
            are used up to the next: 1 if none outlives its step.

        Raises:
            StudyError: `args` of the run holds what the trainer's config does not take.
        """

    def train(self, setup: Setup) -> None:
        """Let the trainer train."""
        from alpharl.training.loop import run_trainer

        run_trainer(setup, *self.trainer(setup))
