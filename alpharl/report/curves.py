"""What the runs that were trained here logged on the way: reward, loss, entropy, KL, length."""

from __future__ import annotations

from typing import Any

import pandas as pd

from alpharl.report.canvas import legend, looks_of, sheet, svg
from alpharl.report.collect import Results
from alpharl.report.frames import groups

MEASURES = {
    "reward": "mean reward of the batch",
    "loss": "loss",
    "entropy": "entropy (nats)",
    "kl": "KL to the base",
    "completion_length": "tokens per answer",
}
_OTHERS = ["grad_norm", "learning_rate", "seconds"]
POINTS = 60
"""Points of a line, at most."""


def curves_frame(results: Results) -> pd.DataFrame:
    """Per run that was trained here and optimizer step: what it logged; empty where it did not.

    Sampled answers to training questions, not scores; `seconds` since training began.
    """
    group = {name: run.group for name, run in results.study.runs.items()}
    frame = results.tables["training"].assign(group=results.tables["training"]["run"].map(group))
    return frame.reindex(columns=["run", "group", "step", *MEASURES, *_OTHERS])


def left_out(results: Results) -> list[str]:
    """Runs of which only the checkpoints are known."""
    return [name for name, run in results.study.runs.items() if run.train is None]


def drawn(frame: pd.DataFrame) -> list[str]:
    """The measures that some run logged."""
    return [name for name in MEASURES if frame[name].notna().any()]


def draw(frame: pd.DataFrame) -> str:
    """A panel per measure that was logged, a line per run in its group's colour."""
    measures = drawn(frame)
    looks = looks_of(list(frame["group"].unique()))
    with sheet(len(measures), 2.4) as (figure, panels):
        for axes, measure in zip(panels, measures, strict=True):
            axes.set(title=MEASURES[measure], xlabel="step")
            # Every group in every panel, so that the first one's legend has all of them.
            for group, (colour, marker) in looks.items():
                look: Any = {"color": colour, "linewidth": 1, "marker": marker, "markersize": 4}
                axes.plot([], [], label=group, **look)
                for _, run in groups(frame[frame["group"] == group], "run"):
                    line = smoothed(run.dropna(subset=[measure])[["step", measure]])
                    axes.plot(line["step"], line[measure], markevery=[-1], **look)
        legend(figure, panels[0])
        return svg(figure, "training")


def smoothed(line: pd.DataFrame) -> pd.DataFrame:
    """Means over as many consecutive rows each as leave `POINTS` of them at most."""
    width = max(1, -(-len(line) // POINTS))
    return line.groupby([i // width for i in range(len(line))]).mean()
