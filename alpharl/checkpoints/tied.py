"""Heads that are their model's embedding, and whether a stored one equals it. Torch-free.

Some trainers save a tied head next to the embedding, others do not: both are the same model. If the
two differ, libraries disagree on what the model is: transformers 5 takes the stored head, vLLM and
older versions ignore it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from alpharl.checkpoints.header import TensorInfo
from alpharl.errors import CheckpointError
from alpharl.failures import pass_on

if TYPE_CHECKING:
    import numpy as np

_HEADS = ("lm_head", "embed_out", "output", "output_projection", "proj_out")
_EMBEDDINGS = (
    "embed_tokens", "wte", "embed_in", "word_embeddings", "tok_embeddings", "tokens_embed",
    "embeddings", "shared",
)  # fmt: skip
"""Modules of transformers' language models, outside of layers."""
_PIECE = 1 << 20
"""Elements of each tensor that are compared at a time."""
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
Pair = tuple[TensorInfo, TensorInfo]


def head_of(tensors: Mapping[str, TensorInfo]) -> TensorInfo | None:
    """The stored output head; None where there is none."""
    return next((info for info in tensors.values() if _is_module(info, _HEADS)), None)


def embedding_of(tensors: Mapping[str, TensorInfo]) -> TensorInfo | None:
    """The stored input embedding; None where there is none."""
    return next((info for info in tensors.values() if _is_module(info, _EMBEDDINGS)), None)


def is_vocabulary(info: TensorInfo) -> bool:
    """Whether a tensor has a row for each token: an embedding or a head."""
    return _is_module(info, _HEADS + _EMBEDDINGS)


def _is_module(info: TensorInfo, modules: tuple[str, ...]) -> bool:
    *outer, module, last = ["", *info.name.split(".")]
    in_layer = any(part.isdecimal() for part in outer)
    return last == "weight" and module in modules and len(info.shape) == 2 and not in_layer


def tied_pair(tensors: Mapping[str, TensorInfo], config: Mapping[str, Any]) -> Pair | None:
    """A stored head and the embedding that its model's config ties it to.

    Args:
        tensors: of the model, by name.
        config: its `config.json`, as it is written.
    """
    head, embedding = head_of(tensors), embedding_of(tensors)
    if head is None or embedding is None or head.shape != embedding.shape or not ties(config):
        return None
    return head, embedding


def ties(config: Mapping[str, Any]) -> bool:
    """Whether a model's head is its embedding, as transformers 5 reads its config.

    A config that says nothing has the default of its class in transformers. A multimodal model's
    class looks at its language model's key too.
    """
    nested, kind = config.get("text_config"), config.get("model_type")
    nested = nested if isinstance(nested, dict) else {}
    said = config.get("tie_word_embeddings", nested.get("tie_word_embeddings"))
    if not isinstance(kind, str) or (said is not None and not nested):
        return bool(said)
    # Imported only here: it takes a second, and most configs say it themselves.
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if kind not in CONFIG_MAPPING:
        return bool(said)
    try:
        made = CONFIG_MAPPING[kind].from_dict(dict(config))
    except Exception as error:  # its checks are many, and loading the model tells what is wrong
        pass_on(error)
        return bool(said)
    return bool(getattr(made, "tie_word_embeddings", False))


def require_equal(folder: Path, pair: Pair | None) -> None:
    """Refuse a model whose config ties a stored head to an embedding that it differs from.

    Both are read, once: call it where weights are read anyway.

    Args:
        folder: of the model.
        pair: head and embedding, see `tied_pair`; None where no such head is stored.

    Raises:
        CheckpointError: they differ.
    """
    if pair is not None and not _equal(folder, *pair):
        head, embedding = (info.name for info in pair)
        raise CheckpointError(
            f"{folder}: {head} differs from {embedding}, expected equal ones, as its config ties "
            "them (tie_word_embeddings) and not every library would use the head; say false there "
            "if the head is its own, or save the model without it"
        )


def _equal(folder: Path, head: TensorInfo, embedding: TensorInfo) -> bool:
    # Not at the top: plans and help do without numpy.
    import numpy as np

    if head.dtype != embedding.dtype and not {head.dtype, embedding.dtype} <= _TYPES.keys():
        return False
    with (folder / head.file).open("rb") as one, (folder / embedding.file).open("rb") as other:
        for start in range(0, head.size, _PIECE):
            a, b = (_piece(f, i, start) for f, i in ((one, head), (other, embedding)))
            if head.dtype != embedding.dtype:
                a, b = _numbers(a, head.dtype), _numbers(b, embedding.dtype)
            if not np.array_equal(a, b):
                return False
    return True


def _piece(file: BinaryIO, info: TensorInfo, start: int) -> np.ndarray:
    """The bytes of the elements from `start` on."""
    import numpy as np

    width = info.nbytes // info.size
    file.seek(info.start + start * width)
    return np.frombuffer(file.read(min(_PIECE, info.size - start) * width), np.uint8)


def _numbers(piece: np.ndarray, dtype: str) -> np.ndarray:
    import numpy as np

    numbers = piece.view(_TYPES[dtype])
    return (numbers.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else numbers
