"""Whether two models with the same weights compute the same, by their configs.

Some keys do not change what a model computes: those are listed here, and every other key counts.
Configs that differ are compared again with the defaults of transformers' class in place, which
turns older spellings into newer ones too (`rope_theta`, `rope_scaling` into `rope_parameters`).
Torch is imported only then. Code that comes with a model is never run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from alpharl.checkpoints.config_file import raw_config
from alpharl.errors import CheckpointError
from alpharl.failures import pass_on

_INERT = re.compile(
    r"_.*|(?:torch_)?dtype|transformers_version|name_or_path|architectures|auto_map|use_cache"
    r"|(?:\w+_)?(?:bos|eos|pad|unk|sep|cls|mask|start|end|boi|eoi|image|video|audio)_token_id"
    r"|vision_(?:start|end)_token_id|\w*_token_index|tokenizer_class|model_name"
    # Of training alone.
    r"|\w*dropout(?:_prob)?|\w+_pdrop|\w*layerdrop|initializer\w*|router_jitter_noise"
    r"|(?:router_)?aux_loss_\w+|router_\w+_loss_coef|seq_aux|gradient_checkpointing|unsloth_\w+"
    # Of what is returned, and of tasks with a head of their own.
    r"|output_\w+|return_dict|use_return_dict|id2label|label2id|num_labels|problem_type"
    r"|finetuning_task|task_specific_params|summary_\w+|prefix"
    # Of how it is computed.
    r"|attn_implementation|torchscript|use_bfloat16|chunk_size_feed_forward|pretraining_tp"
    r"|pruned_heads|reorder_and_upcast_attn|use_mrope"
    # Of decoding, which is the suite's business.
    r"|(?:max|min)_(?:new_tokens|length)|do_sample|temperature|top_[kp]|typical_p|num_beam\w*"
    r"|num_return_sequences|early_stopping|\w+_penalty|(?:encoder_)?no_repeat_ngram_size"
    r"|bad_words_ids|remove_invalid_values|(?:begin_)?suppress_tokens|forced_\w+"
)
"""Keys that do not change what a model of the same weights computes."""
_OTHERS = {"vocab_size"}
"""A key that `alpharl.checkpoints.vocabulary` looks at, with the tensors."""


@dataclass(frozen=True)
class Change:
    """A key of a checkpoint's config that changes what the model computes."""

    key: str
    """A dot stands before a key of a nested object, as in `rope_parameters.rope_theta`."""
    base: Any
    """The base's value; None where it has none."""
    value: Any
    """The checkpoint's value."""

    def __str__(self) -> str:
        """Both values, in a few words."""
        return f"{self.key} {_short(self.value)} (base: {_short(self.base)})"


def changes(base: Path, folder: Path) -> tuple[Change, ...]:
    """What a checkpoint's config changes of the function that the base's config describes.

    Nothing where one of both has no `config.json`.

    Raises:
        CheckpointError: a config that cannot be read, is of another architecture, or describes
            other tensors than the base's.
    """
    before, after = raw_config(base), raw_config(folder)
    if not before or not after or before == after:
        return ()
    before, after = _of_one_type(base, before, folder, after)
    if not _compared(before, after):
        return ()
    changed = _compared(_described(base, before, _normal), _described(folder, after, _normal))
    if any(change.key.startswith("quantization_config") for change in changed):
        raise CheckpointError(
            f"{folder}: found quantization_config in its config.json, expected the base's: loaders "
            "would quantise the plain weights next to it; take that key out"
        )
    if changed and _described(base, before, _shapes) != _described(folder, after, _shapes):
        raise CheckpointError(
            f"{folder}: found {listed(changed)} in its config.json, expected a config of the "
            "tensors that it shares with its base; copy the base's config, or correct it"
        )
    return changed


def listed(changed: tuple[Change, ...]) -> str:
    """The changes in words, the first three in full."""
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return ", ".join(map(str, changed[:3])) + more


def as_json(changed: tuple[Change, ...]) -> dict[str, dict[str, Any]]:
    """The changes as manifests and variants hold them."""
    return {one.key: {"base": one.base, "checkpoint": one.value} for one in changed}


def built_config(base: Path, folder: Path) -> dict[str, Any]:
    """The `config.json` of a model that is built on a base and computes as a checkpoint does.

    Number of tokens, tied head, dtype and all that does not change the function are the base's.
    """
    return _built(raw_config(base), raw_config(folder))


def _built(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    before, after = base.get("text_config"), own.get("text_config")
    if isinstance(before, dict) and not isinstance(after, dict):
        return base | {"text_config": _built(before, own)}
    if isinstance(after, dict) and not isinstance(before, dict):
        own = after
    elif isinstance(before, dict) and isinstance(after, dict):
        own = own | {"text_config": _built(before, after)}
    function = {name: value for name, value in own.items() if not _is_of_base(name)}
    return function | {name: value for name, value in base.items() if _is_of_base(name)}


def _is_of_base(name: str) -> bool:
    return name in ("vocab_size", "tie_word_embeddings") or _INERT.fullmatch(name) is not None


def _of_one_type(
    base: Path, before: dict[str, Any], folder: Path, after: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both configs, or that of the language model alone where one of both has nothing else."""
    for one, other in [(before, after), (_nested(before), after), (before, _nested(after))]:
        if one.get("model_type") == other.get("model_type"):
            return one, other
    raise CheckpointError(
        f"{folder}: found model_type {_short(after.get('model_type'))} in its config.json, "
        f"expected {_short(before.get('model_type'))} as of the base {base}; name the right base"
    )


def _nested(config: dict[str, Any]) -> dict[str, Any]:
    nested = config.get("text_config")
    return nested if isinstance(nested, dict) else {"model_type": ""}


def _compared(before: Any, after: Any, key: str = "") -> tuple[Change, ...]:
    """The keys that differ; a key without a value is none."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [name for name in {**before, **after} if not _is_inert(name, before, after)]
        return tuple(
            change
            for name in keys
            for change in _compared(before.get(name), after.get(name), f"{key}.{name}".strip("."))
        )
    same = json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    return () if same or _equal_numbers(before, after) else (Change(key, before, after),)


def _is_inert(name: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
    # `rope_parameters` hold the older key for the type next to the newer one.
    spelled_twice = name == "type" and "rope_type" in before and "rope_type" in after
    return spelled_twice or name in _OTHERS or _INERT.fullmatch(name) is not None


def _equal_numbers(one: Any, other: Any) -> bool:
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (one, other))
    return numbers and bool(one == other)


def _described(
    folder: Path, config: dict[str, Any], how: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    """What transformers makes of a config, once for all checkpoints that have the same.

    Raises:
        CheckpointError: it makes nothing of it.
    """
    try:
        return how(json.dumps(config, sort_keys=True))
    except Exception as error:  # of a library, which checks, and computes with, what the file says
        pass_on(error)
        words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CheckpointError(
            f"{folder}: found a config.json of which transformers makes no model ({words}); copy "
            "the base's config, or correct it"
        ) from None


@lru_cache
def _normal(text: str) -> dict[str, Any]:
    """A config with all defaults in place; as it is where transformers does not know its type."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.utils import logging

    config: dict[str, Any] = json.loads(text)
    if config.get("model_type") not in CONFIG_MAPPING:
        return config
    logging.set_verbosity_error()
    normal: dict[str, Any] = CONFIG_MAPPING[config["model_type"]].from_dict(config).to_dict()
    return normal


@lru_cache
def _shapes(text: str) -> dict[str, tuple[int, ...]]:
    """Shapes of a model's parameters by name; empty where transformers has no such model."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    described = json.loads(text)
    if described.get("model_type") not in CONFIG_MAPPING:
        return {}
    config = CONFIG_MAPPING[described["model_type"]].from_dict(described)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return {}
    language = config.get_text_config()
    language.vocab_size, language.pad_token_id = 1, None
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
