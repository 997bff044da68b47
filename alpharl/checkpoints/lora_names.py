"""The names of an adapter's tensors as PEFT 0.21 reads them, and what other names stand for.

    base_model.model.<module>.lora_A.weight             a linear layer's A; `lora_B` alike
    base_model.model.<module>.lora_embedding_A          an embedding's
    base_model.model.<module>.base_layer.<parameter>    of a module that also has A and B
    base_model.model.<module>.<parameter>               of another one, stored whole

PEFT loads the adapter under the name `default`, so that `lora_A.default.weight` is the same. It
ignores all names that the model does not have then. Torch-free.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

PREFIX = "base_model.model."
_LOW_RANK = re.compile(
    r"(.+)\.lora_(?:([AB])(?P<name>\.default)?\.weight|embedding_([AB])(?P<embedding>\.default)?)"
)
_ANY_LOW_RANK = re.compile(r"(.+)\.lora_(?:embedding_)?[AB](?:\.[^.]+)*")
_BASE_LAYER = ".base_layer."
_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""What libraries put anywhere into a name; no model has modules of these names."""
_AROUND = {"base_model", "model", "module", "policy", "actor"}
"""What they put before all names."""


@dataclass(frozen=True)
class StoredName:
    """What a tensor of an adapter is, by its name."""

    tensor: str
    """Name of the base's tensor that it changes."""
    half: str | None
    """`A` or `B`; None for a tensor that takes the place of the base's."""
    embedding: bool
    """Whether it is named as an embedding's A or B."""
    base_layer: bool
    """Whether it is named as that of a module that has A and B too."""
    usual: bool
    """Whether it is named as PEFT saves it, so that others can read it too."""

    @property
    def module(self) -> str:
        """The module that the tensor is of."""
        return self.tensor.rpartition(".")[0]


def parse(key: str) -> StoredName | None:
    """What a tensor of an adapter is; None where PEFT ignores it whatever the base."""
    if not key.startswith(PREFIX):
        return None
    name = key.removeprefix(PREFIX)
    match = _LOW_RANK.fullmatch(name)
    if match:
        half, embedding = match[2] or match[4], match[4] is not None
        usual = not match["name"] and not match["embedding"]
        return StoredName(f"{match[1]}.weight", half, embedding, False, usual)
    if _ANY_LOW_RANK.fullmatch(name):
        return None
    module, layer, parameter = name.rpartition(_BASE_LAYER)
    whole = f"{module}.{parameter}" if layer else name
    return StoredName(whole, None, False, bool(layer), usual=True)


def same_module(key: str, modules: Collection[str]) -> str | None:
    """The module that an A or a B is of, whatever stands before and in its name.

    Args:
        key: the stored name.
        modules: of the base.
    """
    match = _ANY_LOW_RANK.fullmatch(key)
    parts = [p for p in match[1].split(".") if p not in _WRAPPERS] if match else []
    for start in range(len(parts)):
        tail = ".".join(parts[start:])
        fits = [m for m in modules if m == tail or m.endswith(f".{tail}")]
        if len(fits) == 1 or tail in fits:
            return tail if tail in fits else fits[0]
    return None


def rightly_named(key: str, module: str) -> str | None:
    """The name that PEFT would read, where a name differs from it by wrappers of the model alone.

    Args:
        key: the stored name.
        module: that it is of, from `same_module`.
    """
    match = _ANY_LOW_RANK.fullmatch(key)
    if not match or {*match[1].split(".")} - {*module.split(".")} - _WRAPPERS - _AROUND:
        return None
    letter = "A" if re.search(r"\.lora_(?:embedding_)?A", key) else "B"
    end = f"embedding_{letter}" if ".lora_embedding_" in key else f"{letter}.weight"
    return f"{PREFIX}{module}.lora_{end}"


def has_low_rank(names: Collection[str]) -> str | None:
    """The first name of an A or a B among those of a whole model's tensors."""
    return next((name for name in names if _ANY_LOW_RANK.fullmatch(name)), None)
