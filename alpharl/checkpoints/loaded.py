"""What transformers loads of a model folder, once it is known that all of it came from there.

transformers starts parameters that a folder lacks, or holds in another shape, at random, leaves out
those that the config does not ask for, and says so in its log alone. It would ask on standard input
whether to run Python code that comes with a model: such code is never run here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel
from transformers.utils import logging

from alpharl.checkpoints.adapter import read_model
from alpharl.checkpoints.config_file import CONFIG, raw_config
from alpharl.checkpoints.finite import not_finite
from alpharl.checkpoints.reader import count_not_finite
from alpharl.checkpoints.vocabulary import ResizedIndex
from alpharl.errors import AlpharlError, CheckpointError


def load_model(folder: Path, dtype: torch.dtype, base: Path | None = None) -> PreTrainedModel:
    """Load a model folder.

    Args:
        folder: of safetensors.
        dtype: of the parameters.
        base: model folder whose config it has where it has none of its own, but for the number of
            its tokens.

    Raises:
        CheckpointError: as `read_model`, a parameter is not in the folder, has another shape than
            the config says, or is not finite in this dtype, the config has no place for a tensor,
            or transformers cannot load the folder.
    """
    index = read_model(folder, base)
    alone = base is not None and not (folder / CONFIG).is_file()
    config = load_config(base if base is not None and alone else folder)
    # Else transformers looks for a config in the folder once more.
    decoding = {"generation_config": GenerationConfig.from_model_config(config)} if alone else {}
    if isinstance(index, ResizedIndex):
        config.get_text_config().vocab_size = index.rows
    _drop_padding_beyond_the_rows(config)
    with _in_words(folder, "model"):
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=dtype, use_safetensors=True, trust_remote_code=False,
            ignore_mismatched_sizes=True, output_loading_info=True, **decoding,
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
    surplus = sorted(set(report["unexpected_keys"]) & set(index.tensors))
    if surplus:
        raise CheckpointError(
            f"{folder}: holds {surplus[0]}, which {type(model).__name__} has not as config.json "
            f"describes it ({len(surplus)} such tensors); correct the config, or name the model "
            "that it is of"
        )
    for name, parameter in model.named_parameters():
        bad = count_not_finite(parameter.detach())
        if bad:
            raise not_finite(folder, name, bad)
    loaded: PreTrainedModel = model
    return loaded


def load_config(folder: Path) -> Any:
    """The config of a model folder as transformers has it.

    Raises:
        CheckpointError: there is none, it cannot be read, or it is of an architecture that
            transformers does not have.
    """
    config = raw_config(folder)
    if not config:
        raise CheckpointError(
            f"{folder}: found no {CONFIG}, expected one that describes the model; copy it there"
        )
    if config.get("quantization_config"):
        raise CheckpointError(
            f"{folder}: found quantization_config in its {CONFIG}, expected none: loaders would "
            "quantise the plain weights next to it; take that key out"
        )
    with _in_words(folder, CONFIG):
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def _drop_padding_beyond_the_rows(config: Any) -> None:
    """A padding token that the embedding has not would fail; padding is masked anyway."""
    language = config.get_text_config()
    padding = getattr(language, "pad_token_id", None)
    if padding is not None and not 0 <= padding < language.vocab_size:
        language.pad_token_id = None


@contextmanager
def _in_words(folder: Path, what: str) -> Iterator[None]:
    """Turn whatever transformers makes of a file that it cannot use into one line."""
    logging.set_verbosity_error()
    try:
        yield
    except (AlpharlError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # of a library, which computes with what the files say
        words = " ".join(str(error).split())
        if "trust_remote_code" in words:
            words = "it comes with Python code of its own, which is not run"
        raise CheckpointError(
            f"{folder}: found a {what} that transformers cannot load ({type(error).__name__}: "
            f"{words[:200]}), expected one of an architecture that it has; copy or save it again"
        ) from None
