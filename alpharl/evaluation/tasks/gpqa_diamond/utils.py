"""GPQA: columns `Question`, `Correct Answer` and `Incorrect Answer 1` to `3`.

Its authors ask that no question be shown in the open, so nothing here prints or raises with one.
"""

from __future__ import annotations

import hashlib
from typing import Any

from alpharl.errors import EvaluationError
from alpharl.evaluation.graders import choice
from alpharl.evaluation.tasks.prompts import multiple_choice, score

_RIGHT = "Correct Answer"
_COLUMNS = (_RIGHT, *(f"Incorrect Answer {i}" for i in (1, 2, 3)))


def doc_to_text(doc: dict[str, Any]) -> str:
    """The prompt."""
    columns = _shuffled(doc)
    return multiple_choice(doc["Question"], [doc[column] for column in columns])


def doc_to_target(doc: dict[str, Any]) -> str:
    """Letter of the right choice."""
    return "ABCD"[_shuffled(doc).index(_RIGHT)]


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """1.0 where the extracted letter is the right one."""
    return score(choice, results, doc_to_target(doc))


def _shuffled(doc: dict[str, Any]) -> list[str]:
    """Columns of the choices in an order that depends on the question's text alone."""
    wrong = [name for name in ("Question", *_COLUMNS) if not isinstance(doc.get(name), str)]
    if wrong:
        raise EvaluationError(
            f"gpqa_diamond: found a question without text in {', '.join(wrong)}, expected the "
            "columns of Idavidrein/gpqa; fetch the file again"
        )
    return sorted(_COLUMNS, key=lambda name: _hash(f"{name}\n{doc['Question']}"))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
