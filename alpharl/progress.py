"""Where a long computation says how far it is: nowhere, in lines, or in bars with the time left.

Functions take a `Progress` and call it; whoever calls them chooses which. Both kinds that show
something write to standard error, since standard output is for results.
"""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import TaskID


class Progress:
    """Says nothing. A subclass shows what it is told, from entering it to leaving it."""

    def line(self, text: str) -> None:
        """Say something that has no number."""

    def step(self, task: str, done: int, total: int, item: str) -> None:
        """Say that `item` is finished, the last of `done` out of `total` items of a task."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


SILENT = Progress()


class Lines(Progress):
    """A line for each item, at once: for logs, pipes and jobs."""

    def line(self, text: str) -> None:
        """Print it."""
        print(text, file=sys.stderr, flush=True)

    def step(self, task: str, done: int, total: int, item: str) -> None:
        """Print a line such as `3/28 model.layers.0.mlp.up_proj.weight`."""
        self.line(f"{done}/{total} {item}")


class Bars(Progress):
    """A bar for each task, with the time that is left: for people at a terminal."""

    def __init__(self) -> None:
        # Not at the top: jobs show lines, and should not wait for this import.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Display

        self._display = Display(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[item]}", style="dim"),
            console=Console(stderr=True),
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._display.stop()

    def line(self, text: str) -> None:
        """Print it above the bars."""
        self._display.console.print(text, markup=False, highlight=False)

    def step(self, task: str, done: int, total: int, item: str) -> None:
        """Move the task's bar; a task that begins again gets a new one."""
        if task not in self._tasks or done == 1:
            if task in self._tasks:
                self._display.remove_task(self._tasks[task])
            self._tasks[task] = self._display.add_task(task, total=total, item=item)
        self._display.update(self._tasks[task], completed=done, total=total, item=item)


def is_terminal(stream: int) -> bool:
    """Whether a stream (1: output, 2: errors) shows colour to a person: a terminal, no NO_COLOR."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and os.isatty(stream)


def shown() -> Progress:
    """Bars at a terminal, lines elsewhere and under NO_COLOR."""
    return Bars() if is_terminal(2) else Lines()
