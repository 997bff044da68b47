"""What every trainer of ours is made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alpharl.training.questions import Asking
from alpharl.training.recipe import TrainRecipe


@dataclass(frozen=True)
class Setup:
    """A run that is about to be trained."""

    spec: TrainRecipe
    model: PreTrainedModel
    """The base's weights, to be changed."""
    tokenizer: PreTrainedTokenizerBase
    """The base's."""
    asking: Asking
    """The training questions."""
    base: Path
    """Folder of the base."""
    teacher: Path | None
    """Model folder of the teacher, of the algorithms that have one."""
    out: Path
    """Folder of the checkpoints."""
    folder: Path
    """Below it, trainers store where they stand."""
