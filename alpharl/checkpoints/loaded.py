"""A model folder as transformers loads it, once it is known that its tensors are all of the model.

transformers starts parameters that a folder lacks, or holds in another shape, at random, leaves out
what the architecture has not, and says so in its log alone. It would ask on standard input whether
to run Python code that comes with a model: such code is never run here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel
from transformers.utils import logging

from alpharl.checkpoints.adapter import read_model
from alpharl.checkpoints.config_file import CONFIG, raw_config
from alpharl.checkpoints.finite import not_finite
from alpharl.checkpoints.fit import require_same_tensors
from alpharl.checkpoints.index import ModelIndex, read_index, read_stored, with_config
from alpharl.checkpoints.reader import count_not_finite
from alpharl.checkpoints.tied import require_equal
from alpharl.checkpoints.vocabulary import ResizedIndex
from alpharl.errors import AlpharlError, CheckpointError
from alpharl.failures import pass_on


def load_model(folder: Path, dtype: torch.dtype, base: Path | None = None) -> PreTrainedModel:
    """Load a model folder: exactly the tensors of its index, under the index's names.

    Args:
        folder: of safetensors.
        dtype: of the parameters.
        base: model folder whose tensors it has to have, but for the number of its tokens; its
            config holds where the folder has none.

    Raises:
        CheckpointError: as `read_model`; it has other tensors than the base or than the
            architecture of its config, or in other shapes; a stored head that its config ties
            differs from the embedding; a parameter is not finite in this dtype; or transformers
            cannot load the folder.
    """
    index = read_model(folder, base)
    require_equal(folder, index.tied)
    if base is not None:
        require_same_tensors(read_index(base), index)
    config = load_config(with_config(folder, base))
    if isinstance(index, ResizedIndex):
        config.get_text_config().vocab_size = index.rows
    _drop_padding_beyond_the_rows(config)
    stored = _stored_names(index)
    with _in_words(folder, "model"):
        model, report = _load(index, stored, dtype, config)
    _require_complete(index, set(stored.values()), type(model).__name__, report)
    for name, parameter in model.named_parameters():
        bad = count_not_finite(parameter.detach())
        if bad:
            raise not_finite(folder, name, bad)
    loaded: PreTrainedModel = model
    return loaded


def _stored_names(index: ModelIndex) -> dict[str, str]:
    """The name in its file of each tensor of the index, and of those that the index leaves out."""
    places = {(info.file, info.start): name for name, info in index.tensors.items()}
    stored = read_stored(index.folder).tensors
    return {places.get((info.file, info.start), name): name for name, info in stored.items()}


def _load(
    index: ModelIndex, stored: dict[str, str], dtype: torch.dtype, config: Any
) -> tuple[Any, dict[str, Any]]:
    """The model, and what transformers says of keys that did not fit."""
    how: dict[str, Any] = {
        "config": config, "dtype": dtype, "use_safetensors": True, "trust_remote_code": False,
        "ignore_mismatched_sizes": True, "output_loading_info": True,
    }  # fmt: skip
    if not (index.folder / CONFIG).is_file():
        # Else transformers looks for a config in the folder once more.
        how["generation_config"] = GenerationConfig.from_model_config(config)
    if all(stored[name] == name for name in index.tensors):
        made: tuple[Any, dict[str, Any]] = AutoModelForCausalLM.from_pretrained(index.folder, **how)
        return made
    with torch.device("meta"):
        architecture = type(AutoModelForCausalLM.from_config(config, trust_remote_code=False))
    with _slices(index, stored) as tensors:
        made = architecture.from_pretrained(None, state_dict=tensors, **how)
        return made


@contextmanager
def _slices(index: ModelIndex, stored: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The tensors by name, mapped and not read: what transformers makes of a folder's files."""
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(safe_open(index.folder / name, "pt")) for name in index.files
        }
        yield {
            name: files[info.file].get_slice(stored[name]) for name, info in index.tensors.items()
        }


def _require_complete(
    index: ModelIndex, stored: set[str], architecture: str, report: dict[str, Any]
) -> None:
    """Refuse a model that is not all of its folder, or of which not all is in its folder."""
    folder = index.folder
    advice = "save the model again, or correct its config.json"
    lacking = sorted(report["missing_keys"])
    if lacking:
        raise CheckpointError(
            f"{folder}: lacks {lacking[0]}, which {architecture} has ({len(lacking)} such "
            f"tensors); expected all of them: {advice}"
        )
    for name, shape, expected in sorted(report["mismatched_keys"]):
        raise CheckpointError(
            f"{folder}: {name} has shape {list(shape)}, expected {list(expected)} as config.json "
            f"says; {advice}"
        )
    # What the index leaves out is no weight: buffers, a tied head.
    left_out = stored - index.tensors.keys()
    unused = sorted(set(report["unexpected_keys"]) - left_out)
    if unused:
        raise CheckpointError(
            f"{folder}: holds {unused[0]}, which {architecture} has not ({len(unused)} such "
            f"tensors) and would leave out; expected none: {advice}"
        )


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
    except AlpharlError:
        raise
    except Exception as error:  # of a library, which computes with what the files say
        pass_on(error)
        words = " ".join(str(error).split())
        if "trust_remote_code" in words:
            words = "it comes with Python code of its own, which is not run"
        raise CheckpointError(
            f"{folder}: found a {what} that transformers cannot load ({type(error).__name__}: "
            f"{words[:200]}), expected one of an architecture that it has; copy or save it again"
        ) from None
