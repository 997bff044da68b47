"""The modules of a base that an adapter's config names, by the rules of PEFT 0.21. Torch-free.

PEFT goes through the modules of the model in memory. Here they are those that the base's tensors
name, and the head that a base does not store because it is its embedding. Modules without weights
are not among them: PEFT refuses a config that names one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from alpharl.checkpoints.header import TensorInfo
from alpharl.checkpoints.lora_config import LoraConfig

HEAD, _STORED_HEAD = "lm_head", "embed_out"
"""The output head, which `all-linear` leaves out; and its name in files of GPT-NeoX."""
_EMBEDDING = re.compile(r"(?:^|\.)(?:wte|wpe|(?!embed_out$)\w*emb\w*)$")
"""Ends of the names of embeddings in transformers' models."""
_POSITIONS = re.compile(r"(?:wpe|\w*pos\w*|token_type\w*)$")
"""Those of embeddings that are not of tokens."""
_SHELLS = ("model", "transformer", "gpt_neox", "backbone")
"""The module of a language model that is all of it but the head."""
_INTERNAL = ("base_layer", "lora_dropout", "lora_A", "lora_B", "lora_embedding_A", "default",
             "lora_embedding_B", "lora_magnitude_vector")  # fmt: skip
"""Modules that PEFT itself puts into a model."""


@dataclass(frozen=True)
class BaseModules:
    """The modules of a base."""

    tensors: Mapping[str, TensorInfo]
    """The base's tensors, by name."""

    @cached_property
    def names(self) -> Collection[str]:
        """Their names, those that hold others included, in the order of the tensors."""
        names: dict[str, None] = {}
        for tensor in self.tensors:
            parts = tensor.split(".")
            names |= {".".join(parts[:end]): None for end in range(1, len(parts))}
        names.pop(_STORED_HEAD, None)
        return (names | {HEAD: None}).keys()

    @cached_property
    def has_head(self) -> bool:
        """Whether the base stores an output head; else it is its embedding."""
        return any(f"{head}.weight" in self.tensors for head in (HEAD, _STORED_HEAD))

    @cached_property
    def linear(self) -> list[str]:
        """Those that `all-linear` stands for."""
        modules = [n.removesuffix(".weight") for n, t in self.tensors.items() if len(t.shape) == 2
                   and n.endswith(".weight")]  # fmt: skip
        return [m for m in modules if not is_embedding(m) and m not in (HEAD, _STORED_HEAD)]

    @cached_property
    def experts(self) -> list[str]:
        """Beginnings of the names of blocks that hold experts.

        transformers 5 keeps experts together in tensors that PEFT puts adapters on in other ways.
        """
        blocks = [n.partition(".experts.")[0] for n in self.tensors if ".experts." in n]
        return [f"{block}." for block in dict.fromkeys(blocks)]

    @cached_property
    def _transposed(self) -> list[bool]:
        """Whether each bias is as long as a row of its matrix; square matrices are passed over."""
        found = []
        for name, bias in self.tensors.items():
            weight = self.tensors.get(f"{name.removesuffix('.bias')}.weight")
            if name.endswith(".bias") and weight and len(weight.shape) == 2:
                rows, columns = weight.shape
                if rows != columns and bias.shape in ((rows,), (columns,)):
                    found.append(bias.shape == (columns,))
        return found

    def is_transposed(self, module: str) -> bool | None:
        """Whether a module's matrix is stored as (n, m), as the `Conv1D` of GPT-2 has it.

        Its bias tells: it has m numbers. A square matrix is as those that are not square.

        Returns:
            None where that cannot be told.
        """
        weight, bias = (self.tensors.get(f"{module}.{part}") for part in ("weight", "bias"))
        if weight is None or bias is None:
            return False
        rows, columns = weight.shape
        if rows != columns:
            return bias.shape == (columns,)
        ways = set(self._transposed)
        return None if len(ways) == 2 else True in ways


def shell_of(tensors: Iterable[str], modules: Iterable[str]) -> str:
    """What stands before the names of a base in memory, where its files were saved without a head.

    For example, `h.0.attn.c_attn.weight` of GPT-2 is `transformer.h.0.attn.c_attn.weight` there.

    Args:
        tensors: of the base.
        modules: names that an adapter has for modules in memory.
    """
    lists = [parts[0] for parts in map(_parts, tensors) if parts[1:2] and parts[1].isdecimal()]
    if not lists:
        return ""
    starts = {_parts(module)[0] for module in modules}
    usual = "transformer" if lists[0] == "h" else "model"
    return f"{next((shell for shell in _SHELLS if shell in starts), usual)}."


def _parts(name: str) -> list[str]:
    return name.split(".")


def is_embedding(module: str) -> bool:
    """Whether a module is an embedding, by its name: its shape is that of a head."""
    return _EMBEDDING.search(module) is not None


def holds_tokens(module: str) -> bool:
    """Whether a module is the embedding of tokens, which a head may be tied to."""
    return is_embedding(module) and _POSITIONS.search(module) is None


def targeted(config: LoraConfig, base: BaseModules) -> dict[str, str]:
    """Per module of a base, the option that keeps the adapter off it; empty text for targets."""
    return {module: _left_out(config, module, base) for module in base.names}


def _left_out(config: LoraConfig, module: str, base: BaseModules) -> str:
    """PEFT's `check_target_module_exists`."""
    if _is_excluded(config.excluded, module):
        return "exclude_modules"
    if any(re.match(rf"(^|.*\.){saved}($|\..*)", module) for saved in config.saved):
        return "modules_to_save"
    if isinstance(config.targets, str) and config.targets.lower() != "all-linear":
        return "" if re.fullmatch(config.targets, module) else "target_modules"
    names = base.linear if isinstance(config.targets, str) else config.targets
    if module in names:
        return ""
    if not _ends_in(module, names):
        return "target_modules"
    return "" if _in_layers(config, module) else "layers_to_transform"


def _is_excluded(excluded: str | list[str], module: str) -> bool:
    if isinstance(excluded, str):
        return bool(excluded) and re.fullmatch(excluded, module) is not None
    return module in excluded or _ends_in(module, excluded)


def _ends_in(module: str, names: list[str]) -> bool:
    return any(module.endswith(f".{name}") for name in names)


def _in_layers(config: LoraConfig, module: str) -> bool:
    if config.layers is None or config.layers == []:
        return True
    patterns = [rf"(?:^|.*?\.){pattern}" for pattern in config.layers_pattern] or [r".*?\.[^.]*"]
    tries = (re.match(rf"{pattern}\.(?P<idx>\d+)\.", module) for pattern in patterns)
    match = next((match for match in tries if match), None)
    if match is None:
        return False
    layer = int(match["idx"])
    return layer == config.layers if isinstance(config.layers, int) else layer in config.layers


def saved_whole(config: LoraConfig, base: BaseModules) -> list[str]:
    """The modules that `modules_to_save` names: PEFT goes by the end of the whole name."""
    return [m for m in base.names if any(m.endswith(saved) for saved in config.saved)]


def names_internals(config: LoraConfig) -> bool:
    """Whether `modules_to_save` also names what PEFT itself puts into a model."""
    return any(name.endswith(saved) for name in _INTERNAL for saved in config.saved)
