"""A model folder as transformers loads it, once it is known that all of the model came from it.

transformers starts parameters that a folder lacks, or holds in another shape, at random, and says
so in its log alone.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from alpharl.checkpoints.finite import not_finite
from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.reader import count_not_finite
from alpharl.errors import CheckpointError


def load_model(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Load a model folder.

    Args:
        folder: of safetensors.
        dtype: of the parameters.

    Raises:
        CheckpointError: as `read_index`, or a parameter is not in the folder, has another shape
            than the config says, or is not finite in this dtype.
    """
    read_index(folder)
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, ignore_mismatched_sizes=True,
        output_loading_info=True, config=_config(folder),
    )  # fmt: skip
    lacking = sorted(report["missing_keys"])
    if lacking:
        raise CheckpointError(
            f"{folder}: lacks {lacking[0]}, which {type(model).__name__} has ({len(lacking)} such "
            "tensors); expected all of them: save the model again, or correct its config.json"
        )
    for name, stored, expected in sorted(report["mismatched_keys"]):
        raise CheckpointError(
            f"{folder}: {name} has shape {list(stored)}, expected {list(expected)} as config.json "
            "says; save the model again, or correct its config.json"
        )
    for name, parameter in model.named_parameters():
        bad = count_not_finite(parameter.detach())
        if bad:
            raise not_finite(folder, name, bad)
    loaded: PreTrainedModel = model
    return loaded


def _config(folder: Path) -> PretrainedConfig:
    """The folder's config, without a padding token that the embedding has not: that fails."""
    config = AutoConfig.from_pretrained(folder)
    language = config.get_text_config()
    padding = getattr(language, "pad_token_id", None)
    if padding is not None and not 0 <= padding < language.vocab_size:
        language.pad_token_id = None
    loaded: PretrainedConfig = config
    return loaded
