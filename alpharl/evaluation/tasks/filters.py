"""The filter that lm-eval's task files name to get answers out of texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lm_eval.api.filter import Filter
from lm_eval.api.registry import register_filter

from alpharl.evaluation.graders import GRADERS


@register_filter("alpharl-extract")
class Extract(Filter):
    """Replaces each text by the answer that it gives."""

    def __init__(self, grader: str) -> None:
        """Take a grader by its name."""
        self._extract = GRADERS[grader].extract

    def apply(
        self, resps: Iterable[Sequence[str]], docs: Sequence[dict[str, Any]]
    ) -> list[list[str]]:
        """Extract from all texts of all questions."""
        return [[self._extract(text) for text in texts] for texts in resps]
