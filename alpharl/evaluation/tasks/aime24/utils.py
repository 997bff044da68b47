"""AIME 2024: columns `problem` and `answer`, an integer written as text."""

from __future__ import annotations

from typing import Any

from alpharl.evaluation.graders import number
from alpharl.evaluation.tasks.prompts import problem, score


def doc_to_text(doc: dict[str, Any]) -> str:
    """The prompt."""
    return problem(doc["problem"])


def doc_to_target(doc: dict[str, Any]) -> str:
    """The right number."""
    return number.extract(str(doc["answer"]))


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """1.0 where the extracted number is the right one."""
    return score(number, results, doc_to_target(doc))
