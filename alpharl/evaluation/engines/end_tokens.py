"""Tokens that end an answer: the base's, for all models of a study and all engines."""

from __future__ import annotations

from pathlib import Path

from transformers import GenerationConfig

from alpharl.checkpoints.loaded import load_config, load_tokenizer


def end_tokens(folder: Path) -> list[int]:
    """Tokens that end an answer, as transformers finds them; the tokenizer's, if it finds none."""
    if (folder / "generation_config.json").is_file():
        settings = GenerationConfig.from_pretrained(folder)
    else:
        settings = GenerationConfig.from_model_config(load_config(folder))
    ends = settings.eos_token_id
    if ends is None:
        ends = load_tokenizer(folder).eos_token_id
    if ends is None:
        return []
    return [ends] if isinstance(ends, int) else list(ends)
