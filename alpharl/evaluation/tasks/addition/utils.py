"""The grader of the addition task: the one that training rewards with."""

from __future__ import annotations

from typing import Any

from alpharl.problems.addition import is_correct


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """1.0 where the answer after the last `=` is the right sum."""
    return {"exact_match": float(is_correct(results[0], doc["answer"]))}
