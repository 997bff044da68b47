"""The grader of the addition task: the one that training rewards with."""

from __future__ import annotations

from typing import Any

from alpharl.problems.addition import extract, is_correct


def extract_all(resps: list[list[str]], docs: list[Any]) -> list[list[str]]:
    """The answer of each completion."""
    return [[extract(c, doc) for c in texts] for texts, doc in zip(resps, docs, strict=True)]


def process_results(doc: Any, results: list[str]) -> dict[str, float]:
    """1.0 where the extracted answer is the right sum."""
    return {"exact_match": float(is_correct(results[0], doc))}
