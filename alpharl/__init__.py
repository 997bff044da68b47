"""Predict where RL training of language models is going, and whether to trust the prediction.

    from alpharl import Trajectory
    run = Trajectory.open("models/base", "runs/foo/checkpoint-{step}", "scores.csv")
    print(run.verdict(target_step=200))

`load_study` and `write_report` are the ends of the workflow: a study file, and the page of its
results. Each name is imported when it is first used, so that the command line starts at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alpharl.report.write import write_report
    from alpharl.study.config import load_study
    from alpharl.trajectory import Trajectory

__version__ = "0.2.0"
__all__ = ["Trajectory", "__version__", "load_study", "write_report"]

_HOMES = {
    "Trajectory": "alpharl.trajectory",
    "load_study": "alpharl.study.config",
    "write_report": "alpharl.report.write",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
