"""Parsers of numbers on the command line: what is out of range is refused before a verb starts."""

from __future__ import annotations

import argparse
import math
import operator
import re
from collections.abc import Callable

from alpharl.bounds import MOST_SEED, MOST_STEP

_WHOLE = re.compile(r"-?[0-9]+")


def number(
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> Callable[[str], float]:
    """A parser of finite numbers within bounds.

    Args:
        above: bound that is not included.
        least: bound that is.
        most: bound that is.
        below: bound that is not.
    """
    bounds = {
        "above": (above, operator.gt), "at least": (least, operator.ge),
        "at most": (most, operator.le), "below": (below, operator.lt),
    }  # fmt: skip
    given = {words: (bound, ok) for words, (bound, ok) in bounds.items() if bound is not None}
    limits = " and ".join(f"{words} {bound:g}" for words, (bound, _) in given.items())

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not all(ok(value, bound) for bound, ok in given.values()):
            raise argparse.ArgumentTypeError(f"found '{text}', expected a number {limits}")
        return value

    return parse


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers in digits, from the least to the most, both included."""
    limit = f"of {least} or more" if most is None else f"from {least} to {most}"

    def parse(text: str) -> int:
        # Python would also take 1_000, and digits of other scripts.
        value = int(text) if _WHOLE.fullmatch(text) and len(text) < 20 else None
        if value is None or value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"found '{text}', expected a whole number {limit}")
        return value

    return parse


step = whole(1, MOST_STEP)
"""A parser of steps after the base."""
seed = whole(0, MOST_SEED)
"""A parser of seeds."""
