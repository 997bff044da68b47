"""Numbers as text, with what they stand for: errors, intervals and signs of what excludes 0."""

from __future__ import annotations

import math
from typing import Any

from alpharl.report.statistics import LEVEL

DASH = "—"


def number(value: float | None, digits: int = 3) -> str:
    """A fixed number of decimals and a true minus sign; a dash where undefined."""
    if value is None or math.isnan(value):
        return DASH
    return f"{value:,.{digits}f}".replace("-", "−").replace(",", " ")


def plus_minus(value: float, se: float, digits: int = 3) -> str:
    """A value and its standard error, which is left out where it is 0 by definition."""
    if math.isnan(value) or se == 0:
        return number(value, digits)
    return f"{number(value, digits)} ± {number(se, digits)}"


def signed(value: float, digits: int = 3) -> str:
    """As `number`, with a plus sign where not negative."""
    return number(value, digits) if math.isnan(value) or value < 0 else f"+{number(value, digits)}"


def interval(low: float, high: float) -> str:
    """A 95 % interval."""
    return DASH if math.isnan(low) else f"[{signed(low)}, {signed(high)}]"


def significance_sign(low: float, high: float, adjusted: float) -> str:
    """Whether an interval excludes zero, as a sign that survives printing.

    Filled where it does so among all comparisons of its table too, by its adjusted p.
    """
    filled = adjusted < LEVEL
    if low > 0:
        return "▲" if filled else "△"
    return ("▼" if filled else "▽") if high < 0 else ""


def paired_difference(row: Any, name: str) -> str:
    """A row's paired difference of this name with its 95 % interval, and a sign if it excludes 0.

    A dash where there is no comparison: an undefined method, or a reference with itself.
    """
    if math.isnan(getattr(row, f"{name}_p")):
        return DASH
    low, high = getattr(row, f"{name}_low"), getattr(row, f"{name}_high")
    sign = significance_sign(low, high, getattr(row, f"{name}_holm"))
    return f"{sign} {signed(getattr(row, name))} {interval(low, high)}".strip()


def recovered(row: Any, digits: int = 3) -> str:
    """Gain recovery of a table row, or why there is none."""
    if math.isnan(row.accuracy):
        return DASH
    if math.isnan(row.gain_recovery):
        return "undefined (no gain)"
    return plus_minus(row.gain_recovery, row.gain_recovery_se, digits)
