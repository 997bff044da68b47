"""`own-answers`: rejection sampling; the base's own right answers are imitated."""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING

from alpharl.training.algorithm import TrainerAlgorithm

if TYPE_CHECKING:
    from alpharl.training.sampling import Row
    from alpharl.training.setup import Setup
    from transformers import Trainer


class OwnAnswers(TrainerAlgorithm):
    """Imitation of the base's own right answers."""

    name = "own-answers"
    source = "a test"
    args = ("trl.SFTConfig", "temperature", "max_completion_length", "generation_batch_size")

    def trainer(self, setup: Setup) -> tuple[Trainer, int]:
        """TRL's SFTTrainer on samples that are right, again and again where they are too few."""
        from alpharl.training.distill import TaughtConfig
        from alpharl.training.options import trainer_config
        from alpharl.training.sampling import Sampler, sampled_rows
        from alpharl.training.sft import DEFAULTS, imitated, imitation, question_indices

        budget = {"max_completion_length": setup.asking.questions.budget}
        config = trainer_config(TaughtConfig, setup, DEFAULTS | budget)

        def rows() -> list[Row]:
            indices = question_indices(setup, config)
            samples = Sampler(setup, setup.model, config)(indices)
            texts = setup.tokenizer.batch_decode(samples, skip_special_tokens=True)
            rewards = setup.asking.rewards(indices, texts)
            pairs = zip(indices, samples, rewards, strict=True)
            right = [imitated(setup, index, sample) for index, sample, reward in pairs if reward]
            return list(islice(cycle(right), len(indices)))

        made, keep = sampled_rows(setup, setup.base, rows)
        return imitation(setup, config, made, keep), 1
