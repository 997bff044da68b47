"""The verdict as verbs print it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from alpharl.frozen import Frozen
from alpharl.verbs.result import Result

if TYPE_CHECKING:
    from alpharl.forecasting.trust import Verdict


class Reason(Frozen):
    """A number that speaks for or against a forecast."""

    name: str
    """What was looked at, such as `hold-out`."""
    value: float | None
    """The number; none where it is not known."""
    speaks_for: bool
    """Whether it speaks for a forecast."""
    text: str
    """The number in a sentence, next to what it is compared with."""


class Judgement(Result):
    """Whether a forecast beyond the window is supported, by which method, how far, and why."""

    supported: bool
    """Whether it is."""
    method: str
    """The method to forecast with; `last` where nothing is supported."""
    amplitude: float
    """Share of the way from the last checkpoint to the target."""
    step: int
    """The step that this amplitude amounts to."""
    window_steps: list[int]
    """Steps of the checkpoints that the verdict rests on."""
    target_step: int
    """The step that was asked about."""
    evidence: list[Reason]
    """The reasons."""

    def blocks(self) -> Iterator[str]:
        """Faults of the checkpoints, the verdict, then the reasons."""
        # Not at the top: help and errors of verbs should not wait for numpy.
        from alpharl.forecasting.trust import lines

        yield from lines(self.supported, self.method, self.step, self.evidence)


def judged(verdict: Verdict) -> dict[str, Any]:
    """The fields of a judgement."""
    window = verdict.window
    about = {"window_steps": window.steps, "target_step": window.need_target_step()}
    return verdict.as_json() | about
