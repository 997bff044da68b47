"""An adapter put on a loaded model by PEFT, once it is known that PEFT used all of it.

`checkpoints.adapter` has looked at the folder's headers before. PEFT itself says nothing of tensors
that it does not use.
"""

from __future__ import annotations

from pathlib import Path

from peft import PeftModel, get_peft_model_state_dict
from transformers import PreTrainedModel

from alpharl.checkpoints.header import read_header
from alpharl.checkpoints.index import ADAPTER
from alpharl.errors import CheckpointError


def put_on(model: PreTrainedModel, folder: Path) -> PeftModel:
    """Put an adapter on a model, which is changed by it until `unload`.

    Args:
        model: the base.
        folder: of the adapter.

    Raises:
        CheckpointError: PEFT cannot load it, does not use all of its tensors, or starts others at
            random.
    """
    try:
        adapted = PeftModel.from_pretrained(model, folder)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        words = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{folder}: PEFT cannot put the adapter on its base ({words}); expected one of this "
            "base: correct adapter_config.json, or merge it and save the whole model"
        ) from None
    used = {*get_peft_model_state_dict(adapted, save_embedding_layers=False)}
    different = sorted(used ^ {info.name for info in read_header(folder / ADAPTER)})
    if different:
        adapted.unload()
        raise CheckpointError(
            f"{folder}: PEFT does not load {different[0]} from it, expected all tensors that the "
            "adapter holds, and no others; merge it and save the whole model"
        )
    return adapted
