"""Teachers of runs that learn from other runs of the study."""

from __future__ import annotations

from collections.abc import Mapping

from alpharl.frozen import nearest
from alpharl.study.runs import Run


def require_teachers(runs: Mapping[str, Run]) -> None:
    """Refuse runs whose teacher is not there before them.

    Args:
        runs: all of the study, by name.

    Raises:
        ValueError: names the run and its teacher.
    """
    for name in runs:
        _require_teacher(runs, name)
    for name in runs:
        _require_no_circle(runs, name)


def _require_teacher(runs: Mapping[str, Run], name: str) -> None:
    teacher = _teacher(runs, name)
    if teacher in runs:
        taught = runs[teacher].train
        if taught and taught.lora:
            raise ValueError(
                f"run '{name}' has teacher '{teacher}', which trains an adapter alone; "
                "take a run without 'lora'"
            )
    elif teacher and "/" not in teacher:
        hint = nearest(teacher, list(runs))
        raise ValueError(
            f"run '{name}' has unknown teacher '{teacher}', {hint} (a model folder is given as a "
            "path with a slash)"
        )


def _require_no_circle(runs: Mapping[str, Run], name: str) -> None:
    chain = [name]
    while (teacher := _teacher(runs, chain[-1])) in runs:
        if teacher in chain:
            circle = [*chain[chain.index(teacher) :], teacher]
            raise ValueError(
                f"found teachers in a circle: {' learns from '.join(circle)}; expected one that is "
                "there before its pupil, change one"
            )
        chain.append(teacher)


def _teacher(runs: Mapping[str, Run], name: str) -> str:
    """The teacher of a run; empty for none."""
    spec = runs[name].train
    return (spec.teacher if spec else None) or ""
