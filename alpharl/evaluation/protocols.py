"""Evaluation protocols of the papers, as defaults of a suite's keys."""

from __future__ import annotations

from typing import Any

_ALPHARL_TASKS = ["aime24", "aime25", "math500", "minerva", "gpqa_diamond", "gsm8k"]
_RELEX_OTHERS = ["aime25", "amc23", "olympiadbench"]


def _tasks(names: list[str]) -> list[dict[str, Any]]:
    return [{"task": name} for name in names]


PROTOCOLS: dict[str, dict[str, Any]] = {
    # AlphaRL, section 4.2: temperature 0.6, mean of 32 samples.
    "alpharl-paper": {
        "tasks": _tasks(_ALPHARL_TASKS), "chat_template": True, "temperature": 0.6, "samples": 32,
        "max_new_tokens": 30000,
    },
    # The same as AlphaRL's released script runs it: 4 samples; the tables' MATH figures fit this.
    "alpharl-repo": {
        "tasks": _tasks(_ALPHARL_TASKS), "chat_template": True, "temperature": 0.6, "samples": 4,
        "max_new_tokens": 30000,
    },
    # RELEX, eval.py: in domain greedy. Its MATH test set has 5000 questions; MATH-500 is a part.
    "relex-paper": {
        "tasks": _tasks(["math500"]), "chat_template": True, "temperature": 0.0, "samples": 1,
        "max_new_tokens": 4096,
    },
    # RELEX, eval.py: out of domain, sampled. AIME26 and HMMT are not shipped: add them as tasks.
    "relex-paper-sampled": {
        "tasks": _tasks(_RELEX_OTHERS), "chat_template": True, "temperature": 0.7, "top_p": 0.8,
        "samples": 8, "max_new_tokens": 4096,
    },
}  # fmt: skip
"""By name, the settings; what a study file says itself goes before."""
