"""Accuracy against amplitude: whether a forecast wins by its direction or by its size."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from alpharl.report.canvas import (
    end_lines,
    legend,
    looks_of,
    panel_title,
    plain_log,
    sheet,
    svg,
)
from alpharl.report.collect import Results
from alpharl.report.frames import Frames, groups, with_rows
from alpharl.report.score_columns import RATIOS, SCORE, difference_names
from alpharl.report.section import Section
from alpharl.report.sections.forecast import FORECAST, at_all_amplitudes
from alpharl.report.statistics import Z95


class Amplitudes(Section):
    """Every forecast with its update multiplied."""

    name = "amplitudes"
    title = "Accuracy against amplitude"
    null = (
        "If a method had found no better direction than that of the last update, its line would "
        "lie on the dashed one of last to within the bars."
    )
    text = """
    <p>Each forecast again, its whole update multiplied by each amplitude; the tables above show
    them as predicted. A method whose line lies on that of <em>last</em> (dashed; multiplied, it is
    ExPO) is a knob for the size of the update: it wins by its norm, which one number sets as well,
    not by its direction.</p>
    {% call figure("amplitudes") %}
    Accuracy over the norm of the predicted update relative to that of the window's last, with 95 %
    intervals, per run, suite and window. Dotted: base; dashed and level: full run. Methods whose
    norm the small files do not determine are left out.
    Data: <code>tables/amplitudes.csv</code>.
    {% endcall %}
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """Forecasts at all amplitudes, if the study asks for any."""
        if not results.study.forecast.amplitudes:
            return {}
        return with_rows(amplitudes=amplitudes_frame(results))

    def figures(self, frames: Frames) -> dict[str, str]:
        """Accuracy over norm."""
        if "amplitudes" not in frames:
            return {}
        return {"amplitudes": _draw(frames["amplitudes"], frames["gains"])}

    def context(self, results: Results, frames: Frames) -> dict[str, Any] | None:
        """The figure is all there is to show; None without one."""
        return {} if "amplitudes" in frames else None


def amplitudes_frame(results: Results) -> pd.DataFrame:
    """Per run, test suite, forecast and amplitude: norm of its update and accuracy.

    Several methods are knobs of the amplitude in disguise, as a replication of RELEX (Baseten,
    arXiv 2605.21468) found: only where a method beats `last` at its own norm has it found a
    direction. `difference` is that of `forecasts_frame`.
    """
    measured = ["norm_ratio", *SCORE, *RATIOS, *difference_names("difference")]
    frame = at_all_amplitudes(results)
    return frame[[name for name in (*FORECAST, "amplitude", *measured) if name in frame]]


def _draw(frame: pd.DataFrame, gains: pd.DataFrame) -> str:
    """Accuracy over the norm of what is predicted, a line per method, between base and full run."""
    looks = looks_of(list(frame.dropna(subset=["norm_ratio"])["label"].unique()))
    frame = frame[frame["label"].isin(looks)].astype({"norm_ratio": float})
    parts = list(groups(frame, ["run", "suite", "window"]))
    ends = gains.set_index(["run", "suite"])[["base", "full"]]
    with sheet(len(parts), 2.8, sharey=True) as (figure, panels):
        for axes, ((run, suite, window), group) in zip(panels, parts, strict=True):
            end_lines(axes.axhline, *ends.loc[(run, suite)])
            for label, line in groups(group, "label"):
                _line(axes, line.sort_values("amplitude"), looks[label])
            axes.set(title=f"{panel_title(run, suite)} · {window}", xscale="log", ylabel="accuracy")
            axes.set_xlabel("|predicted| / |last observed|")
            plain_log(axes.xaxis)
        if panels:
            legend(figure, panels[0])
        return svg(figure, "amplitudes")


def _line(axes: Axes, line: pd.DataFrame, look: tuple[str, str]) -> None:
    """One method's line; that of `last`, the one to beat, is dashed."""
    axes.errorbar(
        line["norm_ratio"], line["accuracy"], Z95 * line["stderr"], label=line["label"].iloc[0],
        linestyle="--" if line["method"].iloc[0] == "last" else "-",
        color=look[0], marker=look[1], markersize=3, elinewidth=0.8,
    )  # fmt: skip
