"""Where PEFT puts each tensor of an adapter on a base; refused unless all are used and none lacks.

Torch-free.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from alpharl.checkpoints.header import TensorInfo
from alpharl.checkpoints.lora_config import LoraConfig
from alpharl.checkpoints.lora_modules import (
    HEAD,
    BaseModules,
    holds_tokens,
    is_embedding,
    names_internals,
    saved_whole,
    targeted,
)
from alpharl.checkpoints.lora_names import StoredName, parse, rightly_named, same_module
from alpharl.errors import CheckpointError


@dataclass(frozen=True)
class StoredTensors:
    """The tensors of an adapter, by the base's tensor that each changes."""

    pairs: dict[str, tuple[TensorInfo, TensorInfo]]
    """A (r, n) and B (m, r)."""
    whole: dict[str, TensorInfo]
    """Those that take the place of the base's."""
    transposed: set[str]
    """Pairs whose matrix is stored as (n, m)."""
    usual: bool
    """Whether all are named as PEFT saves them."""


def read_stored_tensors(
    folder: Path, base: Path, config: LoraConfig, modules: BaseModules,
    infos: Mapping[str, TensorInfo],
) -> StoredTensors:  # fmt: skip
    """Sort an adapter's tensors by what they change.

    Args:
        folder: of the adapter.
        base: its model folder, for messages.
        config: of the adapter.
        modules: of the base.
        infos: the adapter's tensors, by stored name.

    Raises:
        CheckpointError: PEFT would not use one, lacks one, or cannot load it for its shape; or
            what becomes of a tied head is not said.
    """
    return _Sorting(folder, base, config, modules).sorted(infos)


@dataclass
class _Sorting:
    folder: Path
    base: Path
    config: LoraConfig
    modules: BaseModules

    def sorted(self, infos: Mapping[str, TensorInfo]) -> StoredTensors:
        left_out = targeted(self.config, self.modules)
        saved = saved_whole(self.config, self.modules)
        self._require_apart(saved, [m for m, option in left_out.items() if not option])
        halves: dict[str, dict[str, TensorInfo]] = {}
        whole: dict[str, TensorInfo] = {}
        usual = True
        for key, info in infos.items():
            name = self._parsed(key)
            place = halves.setdefault(name.tensor, {}) if name.half else whole
            slot = name.half or name.tensor
            if slot in place:
                raise self._error(f"holds {key} under two names, expected it once; copy it again")
            self._require_used(key, name, left_out)
            place[slot] = info
            usual &= name.usual
        self._require_complete(halves, whole, left_out, saved)
        pairs = {name: (half["A"], half["B"]) for name, half in halves.items()}
        transposed = {name for name, pair in pairs.items() if self._fitted(name, *pair)}
        self._require_shapes(whole)
        self._require_untied({*pairs, *whole})
        return StoredTensors(pairs, whole, transposed, usual)

    def _parsed(self, key: str) -> StoredName:
        name = parse(key)
        if name and name.half and any(name.tensor.startswith(b) for b in self.modules.experts):
            raise self._error(
                f"holds {key}, expected no adapter on a block of experts, which transformers "
                "stacks; merge it with PEFT and save the whole model"
            )
        known = name and name.module in self.modules.names
        if name and known and name.tensor in self.modules.tensors:
            return name
        module = same_module(key, self.modules.names)
        right = rightly_named(key, module) if module else None
        if right and right != key:
            raise self._error(
                f"holds {key}, expected the name {right}, as PEFT ignores any other; rename its "
                "tensors, or save the adapter with PEFT from the model without wrappers"
            )
        if name and name.module == HEAD:
            raise self._error(
                f"holds {key}, expected nothing of the output head, which the base stores as its "
                "embedding or by another name; merge the adapter with PEFT and save the whole model"
            )
        where = f", which has no {name.tensor}" if name else ", and PEFT's names for them"
        where += f" but {module}" if module else ""
        first = "rename its tensors if that is the same module" if module else "name the right base"
        raise self._error(
            f"holds {key}, expected tensors of LoRA on {self.base}{where}; {first}, or merge the "
            "adapter with PEFT and save the whole model"
        )

    def _require_used(self, key: str, name: StoredName, left_out: Mapping[str, str]) -> None:
        """Refuse a tensor that PEFT ignores, as the config does not put an adapter there."""
        option = left_out.get(name.module, "target_modules")
        if name.half and option:
            raise self._error(
                f"holds {key}, which PEFT ignores, as {self._shown(option)} leaves out "
                f"{name.module}; correct the option in adapter_config.json, or take the tensor out"
            )
        if name.half and name.embedding != is_embedding(name.module):
            kinds = ("an embedding", "lora_embedding_A and lora_embedding_B")
            kind, right = kinds if not name.embedding else ("no embedding", "lora_A and lora_B")
            raise self._error(
                f"holds {key}, which PEFT ignores, as {name.module} is {kind}; expected {right}: "
                "save the adapter with PEFT"
            )
        if not name.half and name.base_layer == bool(option):
            how = "without" if option else "with"
            raise self._error(
                f"holds {key}, which PEFT ignores: expected it {how} '.base_layer', as the config "
                f"puts {'no' if option else 'an'} adapter on {name.module}; save it with PEFT"
            )

    def _require_complete(
        self, halves: Mapping[str, Mapping[str, TensorInfo]], whole: Mapping[str, TensorInfo],
        left_out: Mapping[str, str], saved: list[str],
    ) -> None:  # fmt: skip
        """Refuse an adapter that lacks tensors that PEFT would start at random, or need."""
        if not halves:
            raise self._error(
                "holds no lora_A and lora_B, expected those of LoRA; copy it again, or save the "
                "whole model"
            )
        for name, half in halves.items():
            if len(half) != 2:
                raise self._error(f"lacks A or B of {name}, expected both; copy the adapter again")
        for module, option in left_out.items():
            if not option and f"{module}.weight" not in halves:
                raise self._error(
                    f"lacks A and B of {module}, which {self._shown('target_modules')} names; "
                    "expected those of all modules that adapter_config.json names: correct it, or "
                    "save the adapter again"
                )
        head = [f"{HEAD}.weight"] if HEAD in saved else []
        for name in (*self._inside(saved), *head):
            if name not in whole:
                raise self._error(
                    f"lacks {name}, which {self._shown('modules_to_save')} names, expected it "
                    "whole; correct adapter_config.json, or save the adapter again"
                )

    def _inside(self, saved: list[str]) -> Iterator[str]:
        starts = tuple(f"{module}." for module in saved)
        return (name for name in self.modules.tensors if name.startswith(starts))

    def _require_apart(self, saved: list[str], targets: list[str]) -> None:
        """Refuse modules that are stored whole and hold others that are stored or adapted too."""
        inner = [m for m in (*targets, *saved) for s in saved if m.startswith(f"{s}.") or
                 (m in targets and m == s)]  # fmt: skip
        if inner or names_internals(self.config):
            at = inner[0] if inner else "parts of the adapter"
            raise self._error(
                f"has {self._shown('modules_to_save')} and names {at} in another option too, "
                "expected each module in one; merge the adapter with PEFT"
            )

    def _fitted(self, name: str, a: TensorInfo, b: TensorInfo) -> bool:
        """Whether a pair's matrix is stored transposed, once its shapes are what they must be."""
        module, rank = (
            name.removesuffix(".weight"),
            self.config.rank_of(name.removesuffix(".weight")),
        )
        if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[1]:
            raise self._error(
                f"A and B of {name} have shapes {list(a.shape)} and {list(b.shape)}, expected "
                "matrices (r, n) and (m, r); merge the adapter with PEFT"
            )
        if a.shape[0] != rank:
            raise self._error(
                f"A of {name} has {a.shape[0]} rows, expected {rank} as adapter_config.json says "
                "(r, rank_pattern); correct it, or copy the adapter again"
            )
        transposed = is_embedding(module) or self.modules.is_transposed(module)
        if transposed is None:
            raise self._error(
                f"changes {name}, expected a matrix whose bias or neighbours tell which way round "
                "it is stored; merge the adapter with PEFT and save the whole model"
            )
        shape = (a.shape[1], b.shape[0]) if transposed else (b.shape[0], a.shape[1])
        self._require_shape(name, shape)
        return transposed

    def _require_shapes(self, whole: Mapping[str, TensorInfo]) -> None:
        for name, info in whole.items():
            self._require_shape(name, info.shape)

    def _require_shape(self, name: str, shape: tuple[int, ...]) -> None:
        expected = self.modules.tensors[name].shape
        if shape != expected:
            raise self._error(
                f"{name} becomes {list(shape)}, expected the base's shape {list(expected)}; name "
                "the right base"
            )

    def _require_untied(self, changed: set[str]) -> None:
        names = sorted(n for n in changed if holds_tokens(n.removesuffix(".weight")))
        if names and not self.modules.has_head:
            raise self._error(
                f"changes {names[0]}, expected it unchanged: the base's output head is tied to it, "
                "and may or may not follow; merge it with PEFT and save the whole model"
            )

    def _shown(self, option: str) -> str:
        values = {
            "target_modules": self.config.targets, "exclude_modules": self.config.excluded,
            "modules_to_save": self.config.saved, "layers_to_transform": self.config.layers,
        }  # fmt: skip
        return f"{option} {values[option]!r:.80}"

    def _error(self, words: str) -> CheckpointError:
        return CheckpointError(f"{self.folder}: {words}")
