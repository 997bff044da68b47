"""One run at a glance: how far it moved, its path next to a random walk's, and its accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alpharl.dynamics.nulls import step_lengths
from alpharl.dynamics.pca import pca_table
from alpharl.errors import MethodError
from alpharl.report.canvas import BLUE, GREEN, GREY, ORANGE, sheet
from alpharl.report.frames import records
from alpharl.spectra.gram import Gram

DRAWS = 200
"""Random walks that the path's shares are compared with."""


def draw(gram: Gram, names: Iterable[str], accuracy: Mapping[int, float]) -> Figure:
    """The figure, in the report's style.

    Args:
        gram: of the run.
        names: tensors that are taken together.
        accuracy: validation accuracy per step, maybe of step 0; without any, there is no panel.

    Raises:
        MethodError: fewer than two checkpoints, or none that differs from the base.
    """
    names = list(names)
    if len(gram.steps) < 2:
        raise MethodError(
            f"found checkpoints {gram.steps}, expected at least 2; there is no path to draw"
        )
    table = pca_table(gram, names, DRAWS, seed=0)
    with sheet(3 if accuracy else 2, 3.2) as (figure, panels):
        draw_lengths(panels[0], gram.steps, gram.total(names))
        draw_path(panels[1], table)
        if accuracy:
            _draw_accuracy(panels[2], accuracy)
        panels[1].set(title="Its path, and a random walk's")
        panels[1].legend()
    return figure


def draw_lengths(axes: Axes, steps: list[int], total_tt: np.ndarray) -> None:
    """The update's length at each checkpoint, and that of the way from the one before."""
    lengths = {"update": np.sqrt(np.diag(total_tt)), "since last": step_lengths(total_tt)}
    for (label, length), colour in zip(lengths.items(), (BLUE, ORANGE), strict=True):
        axes.plot(steps, length, "o-", color=colour, markersize=3, label=label)
    axes.set(title="How far it moved", xlabel="step", ylabel="Frobenius norm", ylim=(0, None))
    axes.legend()


def draw_path(axes: Axes, table: pd.DataFrame) -> None:
    """A path in its first two components, over that of the mean walk in its own.

    Args:
        axes: the panel.
        table: of one run, as `alpharl.dynamics.pca.pca_table` makes it.
    """
    x, y = (table[table["component"] == k] for k in (1, 2))
    axes.plot(x["walk"], y["walk"], "--", color=GREY, label="random walk, mean")
    path = x["coordinate"], y["coordinate"]
    axes.plot(*path, "o-", color=BLUE, markersize=3, label="run")
    axes.plot(*(points.iloc[:1] for points in path), "s", color="black", label="base")
    axes.set(**_axis_labels(table))


def _axis_labels(table: pd.DataFrame) -> dict[str, str]:
    """Labels of the two axes: the components' shares, and those of the walks."""
    once = table[table["component"] <= 2].drop_duplicates("component")
    return {
        f"{axis}label": f"PC{row.component}: {row.explained:.0%} (walks {row.null_q05:.0%} to "
        f"{row.null_q95:.0%})"
        for axis, row in zip("xy", records(once), strict=True)
    }


def _draw_accuracy(axes: Axes, accuracy: Mapping[int, float]) -> None:
    steps = sorted(accuracy)
    axes.plot(steps, [accuracy[s] for s in steps], "o-", color=GREEN, markersize=3)
    axes.set(title="Validation accuracy", xlabel="step", ylabel="accuracy")
