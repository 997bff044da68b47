"""What all figures share: sheets of small multiples as SVG text, and what tells lines apart.

Drawn without pyplot, so that nothing global is touched; the same input gives the same bytes.
Colours are Okabe and Ito's, told apart by colour-blind readers; no meaning rests on colour alone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8a8a8a"
_WIDTHS = (5.6, 8.6, 12.0)
"""Inches for one, two and three panels abreast."""
_STYLE: Any = {
    "font.size": 8.5,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "errorbar.capsize": 2,
    "svg.hashsalt": "alpharl",
    "svg.fonttype": "path",
}


class Sheet(Figure):
    """A figure that a notebook shows, which without pyplot would print its name alone."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with matplotlib.rc_context(_STYLE):
            self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


@contextmanager
def sheet(
    count: int, height: float, sharex: bool = False, sharey: bool = False
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure with so many panels, at most three abreast, in the report's style."""
    columns = min(3, max(1, count))
    rows = -(-max(1, count) // columns)
    with matplotlib.rc_context(_STYLE):
        figure = Sheet(figsize=(_WIDTHS[columns - 1], height * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)
        axes: list[Axes] = list(grid.flat)
        for empty in axes[count:]:
            empty.set_visible(False)
        yield figure, axes[:count]


def legend(figure: Figure, axes: Axes) -> None:
    """One legend for all panels, below them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)))


def svg(figure: Figure, name: str) -> str:
    """SVG text without prolog, doctype and metadata, with ids that are unique to the figure."""
    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)


def looks_of(names: list[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker per name; seven by seven pairs."""
    colours, markers = [BLUE, ORANGE, GREEN, PURPLE, "black", "#56B4E9", "#E69F00"], "osD^vPX"
    return {name: (colours[i % 7], markers[(i + i // 7) % 7]) for i, name in enumerate(names)}


def panel_title(run: str, suite: str) -> str:
    """Title of the panel of a run and a suite."""
    return f"{run} · {suite}"


def end_lines(draw: Callable[..., Any], base: float, full: float) -> None:
    """Lines at the accuracies of the base and of the full run.

    Args:
        draw: `axvline` or `axhline` of the panel.
        base: accuracy of the base.
        full: accuracy of the full run.
    """
    draw(base, color="black", linestyle=":", linewidth=1, zorder=3, label="base")
    draw(full, color="black", linestyle="--", linewidth=1, zorder=3, label="full run")


def plain_log(axis: Axis) -> None:
    """Marks of a logarithmic axis at 1, 2 and 5, written as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
