"""How a question of the data tasks becomes a prompt, and an answer a score.

The task folders' `utils.py` say which column is what. Importing this registers their filter.
"""

from __future__ import annotations

from alpharl.evaluation.graders import Grader
from alpharl.evaluation.tasks import filters as filters

_SOLVE = r"Reason step by step, and give the final answer within \boxed{}."
_CHOOSE = r"Reason step by step, and give the letter of the right choice within \boxed{}."


def problem(text: str) -> str:
    """Prompt of a question with a free answer."""
    return f"{text.strip()}\n\n{_SOLVE}"


def multiple_choice(text: str, choices: list[str]) -> str:
    """Prompt of a question with choices, which get the letters from A on."""
    lines = [f"({letter}) {choice.strip()}" for letter, choice in zip("ABCD", choices, strict=True)]
    return "\n".join([text.strip(), "", *lines, "", _CHOOSE])


def score(grader: Grader, results: list[str], target: str) -> dict[str, float]:
    """1.0 where the extracted answer is right."""
    return {"exact_match": float(grader.is_correct(results[0], target))}
