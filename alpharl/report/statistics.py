"""Paired statistics: every variant answers the same questions, so differences are per question.

All functions take per-question outcomes as float arrays (n,), in the same order. Standard errors
are over questions: they say how far another draw of questions would move the number, not how far
another training seed would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Outcomes = NDArray[np.float64]

Z95 = 1.959964
"""Half width of a 95 % normal interval in standard errors."""
LEVEL = 0.05
"""Below it a p value is a finding; an adjusted one, a finding among many."""


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


def p_value(estimate: Estimate) -> float:
    """Two-sided p that the true number is 0, by the normal approximation; nan where undefined.

    Agrees with the 95 % interval: below 0.05 just where that excludes 0. Without any spread, a
    difference is sure (p 0) or there is none (p 1).
    """
    if math.isnan(estimate.value) or math.isnan(estimate.se):
        return float("nan")
    if estimate.se == 0:
        return 1.0 if estimate.value == 0 else 0.0
    return math.erfc(abs(estimate.value) / estimate.se / math.sqrt(2))


def holm(p_m: Outcomes) -> Outcomes:
    """P values adjusted for m comparisons made together (Holm 1979, step-down Bonferroni).

    The i-th smallest is multiplied by m − i + 1 and is at least as large as those before it.
    Rejecting below 0.05 makes a false finding among the m at most 5 % likely, however they depend
    on each other. A nan is no comparison and stays nan.
    """
    adjusted_m = np.full(p_m.shape, np.nan)
    order = np.argsort(p_m)[: np.count_nonzero(~np.isnan(p_m))]
    factors = np.arange(len(order), 0, -1)
    adjusted_m[order] = np.minimum(1.0, np.maximum.accumulate(p_m[order] * factors))
    return adjusted_m
