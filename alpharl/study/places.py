"""Whether folders and files that a study names are what they should be. Torch-free."""

from __future__ import annotations

import os
from pathlib import Path

from alpharl.checkpoints.index import read_index
from alpharl.errors import StudyError
from alpharl.study.plan import Plan
from alpharl.study.runs import Run

_GGUF = b"GGUF"
"""How a GGUF file begins."""


def require_places(plan: Plan) -> None:
    """Refuse a study whose jobs would miss a file or a folder that it names.

    Raises:
        StudyError: the results cannot be written, a GGUF file is none, or two steps are one folder.
        CheckpointError: a teacher is no model.
    """
    study = plan.study
    _require_results(Path(plan.paths.root).absolute())
    for name, base in study.bases.items():
        if base.gguf and base.gguf.wheel is None:
            _require_gguf(f"base '{name}'", Path(base.gguf.file))
    for name, run in study.runs.items():
        if not run.made_here:
            _require_folders_of_their_own(plan, name, run)
        teacher = run.train.teacher if run.train else None
        if teacher and teacher not in study.runs:
            read_index(Path(teacher))


def require_results_apart(plan: Plan) -> None:
    """Refuse a study whose results would lie in a model that it reads.

    Raises:
        StudyError: names the model.
    """
    study, root = plan.study, Path(plan.paths.root).absolute()
    around = {str(folder) for path in (root, root.resolve()) for folder in (path, *path.parents)}
    models = [base.path for base in study.bases.values() if base.path]
    for name, run in study.runs.items():
        models += [] if run.made_here else [run.source(step) for step in plan.steps(name)]
    for model in models:
        if os.path.abspath(model) in around or os.path.realpath(model) in around:
            raise StudyError(
                f"{study.results}: found 'results' in {model}, a model that the study reads, "
                "expected another folder; name one"
            )


def _require_results(root: Path) -> None:
    there = next(parent for parent in (root, *root.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise StudyError(
            f"{there}: found {'a folder' if there.is_dir() else 'a file'} that no results can be "
            "written into, expected a folder of yours; correct 'results'"
        )


def _require_gguf(what: str, file: Path) -> None:
    if not file.is_file():
        raise StudyError(f"{what}: {file}: no such file, expected a GGUF file; correct the path")
    with file.open("rb") as opened:
        if opened.read(len(_GGUF)) != _GGUF:
            raise StudyError(f"{what}: {file}: found no GGUF file, expected one; correct the path")


def _require_folders_of_their_own(plan: Plan, name: str, run: Run) -> None:
    """Refuse steps that the study gives one folder: the audit would find no more."""
    steps: dict[str, int] = {os.path.abspath(plan.paths.base_model(run.base)): 0}
    accepted = plan.accepted(name)
    for step in plan.steps(name):
        other = steps.setdefault(os.path.abspath(run.source(step)), step)
        if other != step and ("duplicate" if other else "base") not in accepted:
            what = f"step {other}" if other else "the base"
            raise StudyError(
                f"run '{name}': found {run.source(step)} as step {step} and as {what}, expected a "
                "folder for each; correct the path"
            )
