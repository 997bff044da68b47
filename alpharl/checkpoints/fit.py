"""Whether a model has the tensors of its base, and under which of their names. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from alpharl.checkpoints.config_file import raw_config
from alpharl.checkpoints.header import TensorInfo
from alpharl.checkpoints.index import ModelIndex, read_stored, with_config
from alpharl.checkpoints.tied import embedding_of, head_of, is_vocabulary, require_equal, ties
from alpharl.checkpoints.wrappers import renamed
from alpharl.errors import CheckpointError

_EIGHT_BIT = "F8_"
_SAVE = "save the whole model again under the names of its base, as `save_pretrained` does"


def under_names_of(base: ModelIndex, index: ModelIndex) -> ModelIndex:
    """A model's index under its base's names, where the two differ by wrappers and shells alone.

    A tied model that stores its head instead of its embedding, or the other way round, is the same
    model too. Anything else is returned as it is, and `require_same_tensors` refuses it.
    """
    if index.tensors.keys() == base.tensors.keys():
        return index
    names = renamed(index.tensors, base.tensors)
    head, other = _vocabulary(index), _vocabulary(base)
    if head and other and ties(raw_config(with_config(index.folder, base.folder))):
        names[head] = other
    tensors = {names[n]: replace(info, name=names[n]) for n, info in index.tensors.items()}
    return replace(index, tensors=tensors)


def _vocabulary(index: ModelIndex) -> str | None:
    """The only tensor that is a head or an embedding; None where there are both, or neither."""
    both = [head_of(index.tensors), embedding_of(index.tensors)]
    stored = [info.name for info in both if info]
    return stored[0] if len(stored) == 1 else None


def require_same_tensors(base: ModelIndex, other: ModelIndex) -> None:
    """Refuse a model whose tensor names or shapes are not those of its base, or one of them coded.

    Raises:
        CheckpointError: names the first tensor that differs, and how many do.
    """
    missing = [info for name, info in base.tensors.items() if name not in other.tensors]
    extra = [info for name, info in other.tensors.items() if name not in base.tensors]
    if missing or extra:
        raise CheckpointError(
            f"{other.folder}: {_differences(missing, extra)}; expected the {len(base.tensors)} "
            f"tensors of {base.folder}: {_advice(missing, extra)}"
        )
    for name, info in base.tensors.items():
        if other.tensors[name].shape != info.shape:
            raise _other_shape(base, other, name)
        dtypes = [info.dtype, other.tensors[name].dtype]
        if sum(dtype.startswith(_EIGHT_BIT) for dtype in dtypes) == 1:
            raise CheckpointError(
                f"{other.folder}: {name} is {dtypes[1]} and {dtypes[0]} in {base.folder}, expected "
                "no codes of 8 bits whose scales may be lost; dequantise the model, or save it in "
                "16 bits if it was only cast"
            )


def _differences(missing: list[TensorInfo], extra: list[TensorInfo]) -> str:
    parts = [f"lacks tensor {missing[0].name}{_more(missing)}"] if missing else []
    parts += [f"has an extra tensor {extra[0].name}{_more(extra)}"] if extra else []
    return " and ".join(parts)


def _more(infos: list[TensorInfo]) -> str:
    return f" and {len(infos) - 1} more" if len(infos) > 1 else ""


def _advice(missing: list[TensorInfo], extra: list[TensorInfo]) -> str:
    """What to do, by what the differing tensors have in common."""
    if missing and _shapes(missing) == _shapes(extra):
        return f"the same shapes go by other names there; {_SAVE}"
    if head_of({info.name: info for info in (*missing, *extra)}) and len(missing + extra) == 1:
        return (
            "one of the two has a head of its own and the other's is its embedding; train and save "
            "both with the same tie_word_embeddings"
        )
    if missing and not extra:
        return "save the whole model again, or name the right base"
    if extra and not missing:
        return "save the model without what is not its base's, or name the right base"
    return "name the right base"


def _shapes(infos: Iterable[TensorInfo]) -> Counter[tuple[int, ...]]:
    return Counter(info.shape for info in infos)


def _other_shape(base: ModelIndex, other: ModelIndex, name: str) -> CheckpointError:
    """The error of the first tensor whose shape is another."""
    shape, expected = other.tensors[name].shape, base.tensors[name].shape
    differing = [n for n, info in base.tensors.items() if other.tensors[n].shape != info.shape]
    more = f" ({len(differing)} such tensors)" if len(differing) > 1 else ""
    what = (
        f"{other.folder}: {name} has shape {list(shape)}, expected {list(expected)} as in "
        f"{base.folder}{more}"
    )
    if all(_has_other_rows(base, other, n) for n in differing):
        return CheckpointError(
            f"{what}; its vocabulary has another size: save it with the base's, by "
            "`resize_token_embeddings`"
        )
    return CheckpointError(f"{what}; name the right base")


def _has_other_rows(base: ModelIndex, other: ModelIndex, name: str) -> bool:
    """Whether a tensor is an embedding or a head that differs in its number of rows alone."""
    info = base.tensors[name]
    return is_vocabulary(info) and other.tensors[name].shape[1:] == info.shape[1:]


def require_stored_names(index: ModelIndex) -> None:
    """Refuse a folder that a program which reads it by itself, such as vLLM, would read otherwise.

    Raises:
        CheckpointError: a tensor has another name in its file, or a stored head that its config
            ties differs from the embedding.
    """
    stored = read_stored(index.folder).tensors
    others = [name for name in index.tensors if name not in stored]
    if others:
        raise CheckpointError(
            f"{index.folder}: found no {others[0]} under this name ({len(others)} such tensors), "
            "as a wrapper changed it when the model was saved; vLLM cannot read it: score it with "
            "engine 'hf', or save the model without the wrapper"
        )
    require_equal(index.folder, index.tied)
