"""OlympiadBench: columns `question`, `context` or none, and `final_answer`, a list of LaTeX."""

from __future__ import annotations

from typing import Any

from alpharl.evaluation.graders import latex
from alpharl.evaluation.tasks.prompts import problem, score


def doc_to_text(doc: dict[str, Any]) -> str:
    """The prompt: what several questions have in common comes first."""
    context = (doc.get("context") or "").strip()
    return problem(f"{context}\n\n{doc['question'].strip()}")


def doc_to_target(doc: dict[str, Any]) -> str:
    """The right expression; all of them, where there are several."""
    return ", ".join(answer.strip().strip("$") for answer in doc["final_answer"])


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """1.0 where the extracted expression equals the right one."""
    return score(latex, results, doc_to_target(doc))
