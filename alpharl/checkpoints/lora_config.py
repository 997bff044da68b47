"""An adapter's `adapter_config.json`, as PEFT 0.21 reads it, where it describes plain LoRA.

Options that change what the stored tensors mean are refused, and values that PEFT cannot use.
Torch-free.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from alpharl.bounds import MOST_RANK, MOST_SCALE
from alpharl.checkpoints.header import unique_json
from alpharl.checkpoints.index import ADAPTER, ADAPTER_CONFIG
from alpharl.errors import CheckpointError
from alpharl.failures import pass_on

Number = TypeVar("Number", int, float)
_READ = {
    "alpha_pattern", "bias", "exclude_modules", "fan_in_fan_out", "init_lora_weights",
    "layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout", "modules_to_save",
    "peft_type", "r", "rank_pattern", "target_modules", "task_type", "use_rslora",
}  # fmt: skip
_INERT = {
    "auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "eva_config",
    "inference_mode", "loftq_config", "megatron_core", "parent_library", "peft_version",
    "qalora_group_size", "revision", "runtime_config",
}  # fmt: skip
"""Options that do not change what the stored tensors mean, nor where they go."""
_KEEPS_BASE = ("gaussian", "eva", "orthogonal")
"""Initialisations that leave the base as it is; PiSSA, OLoRA, CorDA and others change it."""
_TASKS = (None, "CAUSAL_LM", "FEATURE_EXTRACTION")
"""Tasks for which PEFT puts nothing else around the model."""


@dataclass(frozen=True)
class LoraConfig:
    """What a config says of the stored tensors."""

    file: Path
    rank: int
    alpha: float
    rslora: bool
    fan_in_fan_out: bool
    """What it says of the layout of weights; PEFT goes by the module instead."""
    targets: str | list[str]
    """`target_modules`: a regular expression, `all-linear`, or ends of names."""
    excluded: str | list[str]
    saved: list[str]
    """`modules_to_save`: ends of the names of modules that are stored whole."""
    layers: int | list[int] | None
    layers_pattern: list[str]
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]

    def rank_of(self, module: str) -> int:
        """The rank of a module's A and B."""
        return _by_pattern(self.ranks, module, self.rank)

    def scale_of(self, module: str) -> float:
        """The factor of a module's B A: alpha / r, or alpha / sqrt(r) with rsLoRA."""
        rank = self.rank_of(module)
        return _by_pattern(self.alphas, module, self.alpha) / (rank**0.5 if self.rslora else rank)


def _by_pattern(patterns: Mapping[str, Number], module: str, other: Number) -> Number:
    """The value of the first pattern that a module's name ends in."""
    fits = (v for pattern, v in patterns.items() if re.match(rf"(.*\.)?({pattern})$", module))
    return next(fits, other)


def read_lora_config(folder: Path) -> LoraConfig:
    """The config of an adapter's folder, once it is known to be a plain LoRA's.

    Raises:
        CheckpointError: there is none, PEFT cannot use it, or one of its options changes what the
            tensors mean.
    """
    options = _Options(folder / ADAPTER_CONFIG, _load(folder))
    _require_plain(folder, options.values)
    targets, layers = options.names("target_modules"), options.layers()
    pattern = options.names("layers_pattern")
    options.require_rest(targets, layers, pattern)
    return LoraConfig(
        file=options.file,
        rank=options.rank("r"),
        alpha=options.number("lora_alpha", options.values.get("lora_alpha", 8)),
        rslora=bool(options.values.get("use_rslora")),
        fan_in_fan_out=bool(options.values.get("fan_in_fan_out")),
        targets=targets,
        excluded=options.names("exclude_modules"),
        saved=options.listed("modules_to_save"),
        layers=layers,
        layers_pattern=[pattern] if isinstance(pattern, str) and pattern else list(pattern),
        ranks=options.patterns("rank_pattern", options.whole),
        alphas=options.patterns("alpha_pattern", options.number),
    )


def _load(folder: Path) -> dict[str, Any]:
    try:
        config = unique_json((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        return {str(key): value for key, value in config.items()}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        pass_on(error)
        words = f" ({error})" if "stands twice" in str(error) else ""
        raise CheckpointError(
            f"{folder}: found no {ADAPTER_CONFIG} that can be read{words}, expected it next to "
            f"{ADAPTER}; copy it again"
        ) from None


def _require_plain(folder: Path, options: dict[str, Any]) -> None:
    """Refuse options that make something else of the tensors than W + scale B A."""
    others = {key: value for key, value in options.items() if key not in _READ | _INERT}
    strange = [key for key, value in others.items() if value or isinstance(value, str)]
    # PEFT wraps the embedding for an empty list too.
    if options.get("trainable_token_indices") is not None:
        strange.append("trainable_token_indices")
    strange += ["peft_type"] if options.get("peft_type") != "LORA" else []
    strange += ["bias"] if options.get("bias", "none") != "none" else []
    strange += ["task_type"] if options.get("task_type") not in _TASKS else []
    strange += ["init_lora_weights"] if _moves_base(options) else []
    if strange:
        key = strange[0]
        raise CheckpointError(
            f"{folder}: found an adapter with {key} {json.dumps(options.get(key))[:80]}, expected "
            "plain LoRA; merge it with PEFT and save the whole model"
        )


def _moves_base(options: dict[str, Any]) -> bool:
    start = options.get("init_lora_weights")
    return start not in _KEEPS_BASE and start is not None and not isinstance(start, bool)


@dataclass(frozen=True)
class _Options:
    """The options of a config, each read as what PEFT takes there."""

    file: Path
    values: dict[str, Any]

    def names(self, key: str) -> str | list[str]:
        """A regular expression or a list of names; empty where there is none."""
        value = self.values.get(key)
        return value if isinstance(value, str) else self.listed(key)

    def listed(self, key: str) -> list[str]:
        value = [] if self.values.get(key) is None else self.values[key]
        if not isinstance(value, list) or not all(isinstance(x, str) and x for x in value):
            raise self.refusal(key, "a list of module names")
        return value

    def layers(self) -> int | list[int] | None:
        value = self.values.get("layers_to_transform")
        numbers = value if isinstance(value, list) else [value]
        if value is not None and not all(isinstance(x, int) for x in numbers):
            raise self.refusal("layers_to_transform", "a number of a layer, or a list of them")
        return value

    def rank(self, key: str) -> int:
        return self.whole(key, self.values.get(key, 8))

    def whole(self, key: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.refusal(key, "a whole number of 1 or more")
        if value > MOST_RANK:
            raise self.refusal(key, f"a whole number of at most {MOST_RANK}")
        return value

    def number(self, key: str, value: Any) -> float:
        # Compared, not converted: JSON has whole numbers that no float holds.
        if not isinstance(value, int | float) or not abs(value) <= MOST_SCALE:
            raise self.refusal(key, f"a number of at most {MOST_SCALE:g}")
        return float(value)

    def patterns(self, key: str, read: Callable[[str, Any], Number]) -> dict[str, Number]:
        """Values by regular expression."""
        patterns = self.values.get(key, {})
        if not isinstance(patterns, dict):
            raise self.refusal(key, "an object of patterns and numbers")
        self._compile(key, *patterns)
        return {pattern: read(key, value) for pattern, value in patterns.items()}

    def require_rest(
        self, targets: str | list[str], layers: int | list[int] | None, pattern: str | list[str]
    ) -> None:
        """Refuse what PEFT refuses of several options together, and no regular expressions."""
        if not targets:
            raise self.refusal("target_modules", "the modules that the adapter is on")
        layered = [key for key in ("layers_to_transform", "layers_pattern") if self._given(key)]
        if isinstance(targets, str) and layered:
            raise self.refusal(layered[0], "none where target_modules is one text")
        if pattern and layers is None:
            raise self.refusal("layers_pattern", "layers_to_transform with it")
        if not 0 <= self.number("lora_dropout", self.values.get("lora_dropout", 0.0)) <= 1:
            raise self.refusal("lora_dropout", "a number from 0 to 1")
        if self.values.get("init_lora_weights") == "orthogonal":
            for rank in (self.rank("r"), *self.patterns("rank_pattern", self.whole).values()):
                if rank % 2:
                    raise self.refusal("r", "an even number, as init_lora_weights is orthogonal")
        for key in ("target_modules", "exclude_modules"):
            self._compile(key, *[x for x in [self.values.get(key)] if isinstance(x, str)])
        self._compile("layers_pattern", *([pattern] if isinstance(pattern, str) else pattern))
        self._compile("modules_to_save", *self.listed("modules_to_save"))

    def _given(self, key: str) -> bool:
        return self.values.get(key) is not None

    def _compile(self, key: str, *patterns: str) -> None:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except (re.error, RecursionError, OverflowError):
                raise self.refusal(key, "valid regular expressions") from None

    def refusal(self, key: str, expected: str) -> CheckpointError:
        shown = json.dumps(self.values.get(key))[:80]
        return CheckpointError(
            f"{self.file}: found {key} {shown}, expected {expected}; correct it, or copy the "
            "adapter again"
        )
