"""What the runs that were trained here logged on the way: reward, loss, entropy, KL, length."""

from __future__ import annotations

from typing import Any

import pandas as pd

from alpharl.report.canvas import legend, looks_of, sheet, svg
from alpharl.report.collect import Results
from alpharl.report.frames import Frames, groups, with_rows
from alpharl.report.section import Section

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


class TrainingCurves(Section):
    """Training logs; a figure without a heading."""

    name = "training_curves"
    null = (
        "If a run learned nothing, its mean reward would stay at the level of its first steps, "
        "while KL and entropy could drift all the same, because weights move under noise too."
    )
    text = """
    {% call figure("training") %}
    As logged during training, a line per run in its group's colour: sampled answers to training
    questions, not scores. Means over consecutive steps, 60 points a line at most; a measure that an
    algorithm has not, or did not log, has no line.
    {% if left_out %}
    Left out, for only their checkpoints are known: {{ left_out | join(", ") }}.
    {% endif %}
    All steps: <code>tables/training.csv</code>.
    {% endcall %}
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """All that was logged, if any run was trained here."""
        return with_rows(training=curves_frame(results))

    def figures(self, frames: Frames) -> dict[str, str]:
        """The measures that were logged, if there are any."""
        return {"training": _draw(frames["training"])} if _has_curves(frames) else {}

    def context(self, results: Results, frames: Frames) -> dict[str, Any] | None:
        """The runs without a log; None where no run has one."""
        return {"left_out": left_out(results)} if _has_curves(frames) else None


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


def _has_curves(frames: Frames) -> bool:
    return "training" in frames and bool(drawn(frames["training"]))


def drawn(frame: pd.DataFrame) -> list[str]:
    """The measures that some run logged."""
    return [name for name in MEASURES if frame[name].notna().any()]


def _draw(frame: pd.DataFrame) -> str:
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
