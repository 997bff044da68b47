"""A model's `config.json`, read as strictly as the weights next to it. Torch-free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from alpharl.errors import CheckpointError
from alpharl.failures import pass_on

CONFIG = "config.json"
LARGEST = 16 << 20
"""Bytes; the largest of published models, with a label for each of 20 000 classes, have 2 MiB."""


def raw_config(folder: Path) -> dict[str, Any]:
    """What a folder's `config.json` says; empty where there is none: the base's holds then.

    Infinity is a value that some architectures have, NaN is none.

    Raises:
        CheckpointError: it is no JSON object, or holds NaN.
    """
    path = folder / CONFIG
    if not path.exists():
        return {}
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise ValueError(f"{size >> 20} MiB, expected {LARGEST >> 20} at most")
        config = json.loads(path.read_text(encoding="utf-8"), parse_constant=_constant)
        if not isinstance(config, dict):
            raise ValueError(f"a {type(config).__name__} at its top")
    except (OSError, ValueError, RecursionError) as error:
        pass_on(error)
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path}: found no JSON object that is a model's config ({reason}); copy it again, or "
            "delete it if it is the base's: a checkpoint without one takes that"
        ) from None
    return config


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """What a config says of the language model: that of a multimodal one is nested."""
    nested = config.get("text_config")
    return {**(nested if isinstance(nested, dict) else {}), **config}


def _constant(name: str) -> float:
    """The value of NaN, Infinity or -Infinity, which JSON does not have and Python writes."""
    return _not_a_number() if name == "NaN" else float(name)


def _not_a_number() -> NoReturn:
    raise ValueError("NaN in it")
