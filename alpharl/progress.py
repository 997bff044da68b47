"""Where a long computation says how far it is: nowhere, in lines, or in bars with the time left.

Functions take a `Progress` and tell it; whoever calls them chooses which. Both kinds that show
something write to standard error, since standard output is for results. If nobody reads there any
more, the computation goes on without saying anything.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import TaskID

SELDOM = 5.0
"""Seconds between the lines of a library's call: a notebook has no use for one per tensor."""


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

    def __init__(self, seconds: float = 0.0) -> None:
        """Begin.

        Args:
            seconds: least time between the lines of one task; its last item always gets one.
        """
        self._seconds, self._last = seconds, 0.0

    def line(self, text: str) -> None:
        """Print it."""
        # Standard error may be closed (None), or its reader gone, as after `2>&1 | head`.
        if sys.stderr is None:
            return
        try:
            # At once, or an interrupt might come between a line and its end.
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
        except OSError:
            sys.stderr = open(os.devnull, "w")  # noqa: SIM115

    def step(self, task: str, done: int, total: int, item: str) -> None:
        """Print a line such as `3/28 model.layers.0.mlp.up_proj.weight`."""
        now = time.monotonic()
        if done == total or now - self._last >= self._seconds:
            self.line(f"{done}/{total} {item}")
            self._last = now


class Bars(Progress):
    """A bar for each task, with the time that is left: for people at a terminal.

    A computation inside another one shows its bars in the same display: enter it as often as you
    like, it ends with the first.
    """

    def __init__(self) -> None:
        # Not at the top: jobs show lines, and should not wait for this import.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Display
        from rich.table import Column

        # What is short and matters comes first; the item takes what is left of the line.
        item = Column(no_wrap=True, overflow="ellipsis", ratio=1)
        self._display = Display(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[item]}", style="dim", markup=False, table_column=item),
            console=Console(stderr=True),
            transient=True,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._entered = 0

    def __enter__(self) -> Self:
        self._entered += 1
        if self._entered == 1:
            self._display.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._entered -= 1
        if not self._entered:
            self._display.stop()
            for task in self._tasks.values():
                self._display.remove_task(task)
            self._tasks.clear()

    def line(self, text: str) -> None:
        """Print it above the bars."""
        self._display.console.print(text, markup=False, highlight=False, emoji=False)

    def step(self, task: str, done: int, total: int, item: str) -> None:
        """Move the task's bar; a task that begins again gets a new one."""
        if task not in self._tasks or done == 1:
            if task in self._tasks:
                self._display.remove_task(self._tasks[task])
            self._tasks[task] = self._display.add_task(task, total=total, item=item)
        self._display.update(self._tasks[task], completed=done, total=total, item=item)


def display(progress: bool | Progress) -> AbstractContextManager[Progress]:
    """Where one computation of the library is shown, entered for as long as it lasts.

    Args:
        progress: whether to show it; or the object that is told, which whoever made it enters.
    """
    if isinstance(progress, Progress):
        return nullcontext(progress)
    if not progress:
        return SILENT
    return _bars() if is_terminal(2) else Lines(SELDOM)


def is_terminal(stream: int) -> bool:
    """Whether a stream (1: output, 2: errors) shows colour to a person: a terminal, no NO_COLOR."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    try:
        return not plain and os.isatty(stream)
    except OSError:
        return False


def shown() -> Progress:
    """Bars at a terminal, a line for each item elsewhere and under NO_COLOR."""
    return _bars() if is_terminal(2) else Lines()


@cache
def _bars() -> Bars:
    """The terminal's one display: two at once overwrite each other."""
    return Bars()
