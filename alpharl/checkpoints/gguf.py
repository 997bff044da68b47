"""A GGUF file as a normal model folder: weights out of their quantization, tokenizer, template."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from alpharl.checkpoints.writer import require_free
from alpharl.errors import CheckpointError
from alpharl.partials import partial_folder

_MAGIC = b"GGUF"


def unpack(file: Path, out: Path, replace: bool = False) -> None:
    """Write a GGUF model as a folder of safetensors, in float32.

    The weights are those that the quantized file stands for, exactly: not those of the model that
    it was quantized from, so that scores are not that model's scores.

    Args:
        file: the GGUF file.
        out: the model folder.
        replace: put it in place of a model folder that stands there, once it is whole.

    Raises:
        CheckpointError: `out` exists, the file is no GGUF, or transformers cannot read its kind.
    """
    require_free(out, replace)
    _require_gguf(file)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            file.parent, gguf_file=file.name, trust_remote_code=False
        )
        read = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32, trust_remote_code=False
        )
    except (ValueError, KeyError, NotImplementedError) as error:
        raise CheckpointError(
            f"{file}: transformers cannot read it ({' '.join(str(error).split())}); "
            "take the model's safetensors instead"
        ) from None
    with partial_folder(out) as partial:
        _plain(read).save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        for path in partial.iterdir():
            path.chmod(0o644)


def _require_gguf(file: Path) -> None:
    if not file.is_file():
        raise CheckpointError(f"{file}: no such file")
    with file.open("rb") as stream:
        magic = stream.read(len(_MAGIC))
    if magic != _MAGIC:
        raise CheckpointError(
            f"{file}: found {magic!r} at its start, expected a GGUF file's b'GGUF'"
        )


def _plain(read: PreTrainedModel) -> PreTrainedModel:
    """The same model without the quantizer that it was read by: with it, it cannot be saved."""
    config = type(read.config).from_dict(read.config.to_dict())
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = type(read)(config)
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    model.generation_config = read.generation_config
    return model
