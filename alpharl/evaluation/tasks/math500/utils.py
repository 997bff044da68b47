"""MATH-500: columns `problem` and `answer`, LaTeX without delimiters."""

from __future__ import annotations

from typing import Any

from alpharl.evaluation.graders import latex
from alpharl.evaluation.tasks.prompts import problem, score


def doc_to_text(doc: dict[str, Any]) -> str:
    """The prompt."""
    return problem(doc["problem"])


def doc_to_target(doc: dict[str, Any]) -> str:
    """The right expression."""
    return str(doc["answer"])


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """1.0 where the extracted expression equals the right one."""
    return score(latex, results, doc_to_target(doc))
