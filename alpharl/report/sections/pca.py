"""How much of a run's path its principal components explain, next to random walks."""

from __future__ import annotations

from typing import Any

import pandas as pd

from alpharl.report.canvas import legend, sheet, svg
from alpharl.report.collect import Results
from alpharl.report.frames import Frames
from alpharl.report.glance import draw_path
from alpharl.report.numbers import number
from alpharl.report.section import Section
from alpharl.report.tables import Column, Table, table


class Pca(Section):
    """Each run's path, seen from the side on which it is widest."""

    name = "pca"
    title = "The path in its principal components"
    null = (
        "If the path were a random walk, each share would lie in the walks' band 9 times out of "
        "10 (the first near 61 % where all steps are equally long), and the solid line would "
        "follow the dashed one."
    )
    text = """
    <p>Base and checkpoints, all matrices in scope taken together. A random walk in many dimensions
    draws the same smooth curve each time: its k-th component is a cosine of k half turns and
    explains about 6 / (π² k²) of the variance, 61 % the first (Antognini and Sohl-Dickstein 2018,
    arXiv 1806.08805). A smooth curve is therefore no finding; a share far from the walks' is.</p>
    {% call figure("pca") %}
    Solid: the run, from the base (square). Dashed: the mean random walk with the same step lengths,
    in its own components.
    {% endcall %}
    {{ grid(components) }}
    <p class="note">Walk: 5 to 95 % of random walks with the run's step lengths. Data:
    <code>tables/pca.csv</code>.</p>
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """Components and coordinates."""
        return {"pca": pca_frame(results)}

    def figures(self, frames: Frames) -> dict[str, str]:
        """The first two components."""
        return {"pca": _draw(frames["pca"])}

    def context(self, results: Results, frames: Frames) -> dict[str, Any]:
        """The table of all components."""
        return {"components": pca_table(frames["pca"])}


def pca_frame(results: Results) -> pd.DataFrame:
    """Per run, component and step: coordinates, and the component's share next to the walks'."""
    return results.tables["pca"][
        ["run", *(name for name in results.tables["pca"] if name != "run")]
    ]


def _draw(frame: pd.DataFrame) -> str:
    """Each run's path in its first two components, over that of the mean walk."""
    runs = list(frame["run"].unique())
    with sheet(len(runs), 3.2) as (figure, panels):
        for axes, run in zip(panels, runs, strict=True):
            part = frame[frame["run"] == run]
            draw_path(axes, part)
            axes.set(title=run)
        if panels:
            legend(figure, panels[0])
        return svg(figure, "pca")


def pca_table(frame: pd.DataFrame) -> Table:
    """One row per run and component."""
    columns = [
        Column("run", lambda r: r.run, kind="word"),
        Column("component", lambda r: str(r.component)),
        Column("explained", lambda r: number(r.explained)),
        Column("walk median", lambda r: number(r.null_q50)),
        Column("walk, 5 to 95 %", lambda r: f"{number(r.null_q05)} to {number(r.null_q95)}"),
        Column("p", lambda r: number(r.p)),
    ]
    return table(frame.drop_duplicates(["run", "component"]), columns, group="run")
