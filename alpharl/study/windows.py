"""Points and windows of a run: the saved steps that fractions and steps stand for. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from alpharl.errors import StudyError


def window_label(window: float) -> str:
    """The window as it stands in file names: a fraction `0.4`, or a step `48`."""
    return f"{window:g}"


def window_end(steps: list[int], window: float) -> int:
    """Last saved step that a window holds.

    Args:
        steps: the run's saved steps, increasing.
        window: a fraction of the last step when below 1, else a last step.

    Raises:
        StudyError: fewer than two checkpoints lie in the window.
    """
    limit, inside = _within(steps, window)
    if len(inside) < 2:
        raise StudyError(
            f"window {window_label(window)} ends at step {limit:g} and holds {len(inside)} of the "
            f"checkpoints {steps[0]}..{steps[-1]}; expected at least 2, widen the window"
        )
    return inside[-1]


def window_ends(steps: list[int], windows: Sequence[float]) -> dict[str, int]:
    """Last saved step of each window, by its label.

    Raises:
        StudyError: as `window_end`, or a window stands there twice.
    """
    ends: dict[str, int] = {}
    for window in windows:
        label = window_label(window)
        if label in ends:
            raise StudyError(f"found window {label} twice, expected each once; leave one out")
        ends[label] = window_end(steps, window)
    return ends


def windows_of(
    runs: Mapping[str, list[int]], windows: Sequence[float]
) -> dict[str, dict[str, int]]:
    """Last saved step of each window by its label, for each of several runs.

    Args:
        runs: the saved steps of each, increasing.
        windows: fractions and steps.

    Raises:
        StudyError: as `window_ends`, or no run tells two windows apart: all that is made of one
            would be made twice. A run with few checkpoints may, if another has more.
    """
    ends: dict[str, dict[str, int]] = {}
    for run, steps in runs.items():
        try:
            ends[run] = window_ends(steps, windows)
        except StudyError as error:
            raise StudyError(f"run '{run}': {error}") from None
    for one, other in combinations(next(iter(ends.values()), {}), 2):
        if all(end[one] == end[other] for end in ends.values()):
            run = next(iter(ends))
            raise StudyError(
                f"windows {one} and {other} both end at step {ends[run][one]} of run '{run}', "
                "expected windows that differ; leave one out"
            )
    return ends


def checkpoint_at(steps: list[int], where: float) -> int:
    """Last saved step at or before a point of the run.

    Args:
        steps: the run's saved steps, increasing.
        where: a fraction of the last step when a float up to 1.0, else a step.

    Raises:
        StudyError: nothing is saved by then.
    """
    limit, inside = _within(steps, where)
    if not inside:
        raise StudyError(
            f"no checkpoint is saved by step {limit:g}, the first is {steps[0]}; give a later "
            "step, or a fraction of the run up to 1.0"
        )
    return inside[-1]


def _within(steps: list[int], point: float) -> tuple[float, list[int]]:
    """The step that a fraction or a step stands for, and the saved steps up to it."""
    limit = point * steps[-1] if isinstance(point, float) and point <= 1 else point
    return limit, [step for step in steps if step <= limit + 1e-9]
