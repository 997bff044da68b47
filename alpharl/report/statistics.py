"""Paired statistics: every variant answers the same questions, so differences are per question.

All functions take per-question outcomes as float arrays (n,), in the same order. Standard errors
are over questions: they say how far another draw of questions would move the number, not how far
another training seed would.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Outcomes = NDArray[np.float64]

Z95 = 1.959964
"""Half width of a 95 % normal interval in standard errors."""


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error; both nan where undefined."""

    value: float
    se: float

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - Z95 * self.se

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + Z95 * self.se


UNDEFINED = Estimate(float("nan"), float("nan"))


def difference(variant_n: Outcomes, reference_n: Outcomes) -> Estimate:
    """Paired difference of two accuracies, acc(variant) − acc(reference)."""
    delta_n = variant_n - reference_n
    return Estimate(float(delta_n.mean()), _standard_error(delta_n))


def retention(variant_n: Outcomes, full_n: Outcomes) -> Estimate:
    """acc(variant) / acc(full run)."""
    return _ratio(variant_n, full_n)


def gain_recovery(variant_n: Outcomes, base_n: Outcomes, full_n: Outcomes) -> Estimate:
    """(acc(variant) − acc(base)) / (acc(full run) − acc(base)).

    Undefined unless the gain is larger than twice its standard error: a ratio to nearly nothing
    means nothing.
    """
    gain = difference(full_n, base_n)
    if not gain.value > 2 * gain.se:
        return UNDEFINED
    return _ratio(variant_n - base_n, full_n - base_n)


def _ratio(above_n: Outcomes, below_n: Outcomes) -> Estimate:
    """Ratio of two means over the same questions, standard error by the delta method."""
    below = float(below_n.mean())
    if below == 0:
        return UNDEFINED
    value = float(above_n.mean()) / below
    return Estimate(value, _standard_error(above_n - value * below_n) / abs(below))


def _standard_error(values_n: Outcomes) -> float:
    """Standard error of a mean; nan for fewer than two questions."""
    if len(values_n) < 2:
        return float("nan")
    return float(values_n.std(ddof=1) / np.sqrt(len(values_n)))
