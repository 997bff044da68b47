"""List the tasks that a suite can ask, with their source, splits and licence.

For tasks of your own, give a suite an `include_path` with lm-eval task files and name them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from alpharl.frozen import Frozen
from alpharl.verbs.parser import prints
from alpharl.verbs.result import Result

EXAMPLE = "alpharl tasks"


class Task(Frozen):
    """A task."""

    name: str
    """What a suite calls it."""
    source: str
    """Where its questions come from."""
    splits: list[str]
    """The parts of its questions that a suite may ask."""
    licence: str | None
    """What the use of its questions is bound to; null where they are made here."""
    note: str | None
    """What else there is to know."""


class Tasks(Result):
    """All tasks."""

    tasks: list[Task]
    """One entry each; empty with `--generators`."""
    generators: list[str]
    """Names of the tasks that reasoning-gym generates, with `--generators`."""

    def blocks(self) -> Iterator[str]:
        """A paragraph each, or a line for each generator."""
        for task in self.tasks:
            yield f"{task.name}\n  source: {task.source}\n  splits: {', '.join(task.splits)}"
            yield from [f"  licence: {task.licence}"] if task.licence else []
            yield from [f"  note: {task.note}"] if task.note else []
        yield from self.generators


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "--generators", action="store_true",
        help="list the names of reasoning-gym's tasks instead (needs reasoning-gym)",
    )  # fmt: skip
    prints(parser, Tasks)


def run(generators: bool) -> Tasks:
    """Describe the problems and the data sets."""
    if generators:
        from alpharl.problems import PREFIX, reasoning_gym

        return Tasks(tasks=[], generators=[PREFIX + name for name in reasoning_gym.generators()])
    return Tasks(tasks=[*_made_here(), *_data_sets()], generators=[])


def _made_here() -> Iterator[Task]:
    from alpharl.problems import PREFIX, PROBLEMS

    splits = ["validation", "test"]
    for name in PROBLEMS:
        yield Task(name=name, source="made here", splits=splits, licence=None, note=None)
    yield Task(
        name=f"{PREFIX}<generator>",
        source="made here by reasoning-gym",
        splits=splits,
        licence=None,
        note="`alpharl tasks --generators` lists the names; a task's `options` are its generator's",
    )


def _data_sets() -> Iterator[Task]:
    from alpharl.evaluation.datasets import DATASETS

    for name, known in DATASETS.items():
        part = f", {known.name}" if known.name else ""
        yield Task(
            name=name,
            source=f"{known.hub}{part} on the Hub",
            splits=list(known.splits),
            licence=known.licence,
            note="its text is never shown" if known.private else None,
        )
