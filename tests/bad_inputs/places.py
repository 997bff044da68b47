"""Bad inputs of the kind places: folders and files that are not where, or what, a command says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.bad_inputs.good import STEPS
from tests.bad_inputs.table import BadInput


def init(folder: str = "run", base: str = "base", more: str = "--out new.yaml") -> dict[str, str]:
    """A call of the verb that looks for checkpoints."""
    return {"init": f"init {folder} --base {base} {more}"}


def nothing(folder: Path) -> None:
    """The files stay as they are: it is the command that is wrong."""


def moved(to: str) -> Callable[[Path], None]:
    """Every checkpoint's weights have another name."""

    def spoil(folder: Path) -> None:
        for step in STEPS:
            file = folder / f"run/step-{step}/model.safetensors"
            file.rename(file.with_name(to))

    return spoil


def emptied(folder: Path) -> None:
    """The folder of the run holds nothing."""
    shutil.rmtree(folder / "run")
    (folder / "run").mkdir()


CHECKPOINTS = "found no checkpoints"
BASE = "found neither a model folder .* nor a name like org/model, expected one as the base"
ROWS = [
    BadInput("a run that is not there", nothing, "no such folder", init("nowhere")),
    BadInput("a file as a run", nothing, "no such folder", init("rows.jsonl")),
    BadInput("an empty run", emptied, CHECKPOINTS, init()),
    BadInput("a folder of something else", nothing, CHECKPOINTS, init("made/suite")),
    BadInput("one checkpoint as a run", nothing, CHECKPOINTS, init("run/step-10")),
    BadInput("a base as a run", nothing, CHECKPOINTS, init("base")),
    BadInput("a run of pickles", moved("pytorch_model.bin"), "pytorch_model.bin", init()),
    BadInput("a run of other names", moved("weights.safetensors"), "found no checkpoint", init()),
    BadInput("a base that is not there", nothing, BASE, init(base="nowhere")),
    BadInput("a file as a base", nothing, BASE, init(base="rows.jsonl")),
    BadInput("a folder as the study file", nothing, "run: exists already", init(more="--out run")),
    BadInput("a study file that exists", nothing, "study.yaml: exists already",
             init(more="--out study.yaml")),
    BadInput("a task that there is not", nothing, "found no task 'nonsense'",
             init(more="--out new.yaml --task nonsense")),
]  # fmt: skip
