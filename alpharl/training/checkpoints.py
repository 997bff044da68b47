"""Checkpoints of a run: weights only, each folder there whole or not at all.

Of a model with an adapter, the adapter alone is written, as a PEFT folder that names its base.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)

from alpharl.names import checkpoint_name
from alpharl.partials import partial_folder


def write_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Write weights, configs and tokenizer as a model folder, in place of what stood there.

    A model with a PEFT adapter gives a folder with the adapter and the path of its base.
    """
    with partial_folder(out) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        (partial / "README.md").unlink(missing_ok=True)  # PEFT's form for a model card, empty
        # Weights come out readable by their owner alone, which a shared cluster cannot use.
        for path in partial.iterdir():
            path.chmod(0o644)


class SaveCheckpoints(TrainerCallback):
    """Writes `step-<step>` folders, and asks the trainer to store where it stands.

    The trainer's own state is stored only at multiples of `period` steps. In between, the trainer
    holds completions that it has generated but not yet used up, and its state would not say so.
    """

    def __init__(
        self, steps: list[int], period: int, tokenizer: PreTrainedTokenizerBase, out: Path
    ) -> None:
        self._steps, self._period = set(steps), period
        self._tokenizer, self._out = tokenizer, out

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Save after an optimizer step that is among the steps to save."""
        step = state.global_step
        if step in self._steps:
            if state.is_world_process_zero:
                write_model(kwargs["model"], self._tokenizer, self._out / checkpoint_name(step))
            control.should_save = step % self._period == 0 and step < state.max_steps
