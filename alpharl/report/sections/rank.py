"""Accuracy of rank-k variants of a run's checkpoints, next to their controls."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from alpharl.names import BASE, checkpoint_name
from alpharl.report.canvas import BLUE, end_lines, legend, panel_title, sheet, svg
from alpharl.report.collect import Results
from alpharl.report.frames import Frames, groups, records
from alpharl.report.numbers import paired_difference
from alpharl.report.score_columns import (
    RATIOS,
    RECOVERY,
    RETENTION,
    SCORE,
    TABLE,
    TRUNCATED,
    accuracy_columns,
    difference_columns,
    difference_names,
    ends,
    framed,
    ratio_columns,
    score_columns,
    tables_by_run,
    with_holm,
)
from alpharl.report.section import Section
from alpharl.report.statistics import Z95
from alpharl.report.tables import Cell, Column, Table
from alpharl.spectra.depth import Depth
from alpharl.variants.recipes import CONTROLS, RankVariant, Recipe

_HEAD = ["variant", "label", "kind", *asdict(Depth()), "scale", "rest", "step", "control"]
_DIFFERENCES = ["difference", "control_difference", "checkpoint_difference"]
_BARS: list[tuple[list[str], str, dict[str, Any]]] = [
    (["rank", "unscaled", "component"], "part of the update", {"color": BLUE}),
    (
        list(CONTROLS),
        "control",
        {"color": "#d4d4d4", "hatch": "////", "edgecolor": "#777777"},
    ),
    (["full-update"], "ceiling", {"color": "white", "edgecolor": "black"}),
]
"""Kinds of variants, their words in the legend, and how their bars look."""


class Rank(Section):
    """How much of the gain a few singular triplets of each update keep."""

    name = "rank"
    nav = "Rank-k recovery"
    title = "Rank-k recovery, with controls"
    null = (
        "If the leading directions held no more than random ones, each rank-k variant would "
        "score as its random control does: the 95 % interval of their difference would hold 0 "
        "in 19 of 20 cases."
    )
    text = """
    <p>Each variant changes only the matrices in scope of one checkpoint, the last unless a step is
    named; everything else stays at the base, or comes from the checkpoint too where it says
    <em>with rest</em>. <em>Rank-k</em> keeps the top k singular triplets, <em>rank-p %</em> that
    share of them, <em>component i</em> only the i-th, each rescaled to the full update's Frobenius
    norm unless <em>unscaled</em>, then multiplied where it says <em>times</em>.
    The controls show what no signal looks like: a <em>random</em> update of the same rank and norm,
    the update <em>without</em> its top k, and the <em>rest only</em>. <em>Full update in scope</em>
    is the ceiling of all that leave the rest at the base.</p>
    {% call figure("rank") %}
    Accuracy of the rank-k variants (solid), controls (hatched) and the ceiling (open), with 95 %
    intervals.
    {% endcall %}
    {% for table in tables %}
    {{ grid(table) }}
    {% endfor %}
    <p class="note">Difference: paired over the same questions. ▲ above, ▼ below, by
    Holm-Bonferroni over all of its table's comparisons; △ ▽ only by its own 95 % interval.
    Cut off: share of answers that met the token limit. Data: <code>tables/rank.csv</code>.</p>
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """All variants."""
        return {"rank": rank_frame(results)}

    def figures(self, frames: Frames) -> dict[str, str]:
        """Their accuracies."""
        return {"rank": _draw(frames["rank"])}

    def context(self, results: Results, frames: Frames) -> dict[str, Any]:
        """The tables."""
        return {"tables": rank_tables(frames["rank"])}


def rank_frame(results: Results) -> pd.DataFrame:
    """Per run and test suite: base, rank-k variants, controls and the full run.

    Paired differences: `difference` to the full run, `control_difference` to the random control of
    the same rank and norm, and, where there are variants of earlier steps, their
    `checkpoint_difference` to the checkpoint that they were made of.
    """
    rows = [
        row
        for run in results.study.runs
        for suite in results.study.test_suites
        for row in _rows(results, run, suite)
    ]
    differences = [column for name in _DIFFERENCES for column in difference_names(name)]
    frame = framed(rows, [*TABLE, *_HEAD, *SCORE, *RATIOS, *differences])
    names = _DIFFERENCES
    if frame["checkpoint_difference"].isna().all():
        frame = frame.drop(columns=difference_names(names[-1]))
        names = names[:-1]
    return with_holm(frame, names, TABLE)


def _rows(results: Results, run: str, suite: str) -> list[dict[str, Any]]:
    base, full = ends(results, run, suite)
    rows = []
    for head in rank_heads(results, run):
        score = results.scores[run, suite, head["variant"]]
        control = results.scores.get((run, suite, head["control"]))
        early = head["variant"] != base.variant and head["step"] != results.plan.steps(run)[-1]
        checkpoint = results.scores[run, suite, checkpoint_name(head["step"])] if early else None
        rows.append(
            {
                **{"run": run, "suite": suite, **head},
                **score_columns(score.raw, results.study.suites[suite]),
                **ratio_columns(score, base, full),
                **difference_columns("difference", score, full),
                **difference_columns("control_difference", score, control),
                **difference_columns("checkpoint_difference", score, checkpoint),
            }
        )
    return rows


def rank_heads(results: Results, run: str) -> list[dict[str, Any]]:
    """All that a run has scored besides its forecasts: base, rank-k variants, full run.

    Merged twins of adapters are left out: they have a table of their own.
    """
    last = results.plan.steps(run)[-1]
    variants = [v for v in results.plan.rank_variants(run) if not v.recipe.merged]
    heads = [_end(BASE, "base", 0), *(_head(variant, last) for variant in variants)]
    return [*heads, _end(checkpoint_name(last), "full run", last)]


def _end(name: str, kind: str, step: int) -> dict[str, Any]:
    """An end of the run, in the columns of a variant."""
    plain = {**asdict(Depth()), "scale": 1.0, "rest": False}
    return {"variant": name, "label": kind, "kind": kind, **plain, "step": step, "control": ""}


def _head(variant: RankVariant, last: int) -> dict[str, Any]:
    """What a variant is; its label names the step unless it is the run's last."""
    recipe, where = variant.recipe, "" if variant.step == last else f" at step {variant.step}"
    return {
        **{"variant": variant.name, "label": variant_label(recipe) + where, "kind": recipe.kind},
        **asdict(recipe.depth),
        **{"scale": recipe.scale, "rest": recipe.rest, "step": variant.step},
        "control": variant.control or "",
    }


def variant_label(recipe: Recipe) -> str:
    """A rank-k variant or a control in words."""
    depth, k = _depth_label(recipe.depth), recipe.depth.rank
    words = {
        "rank": depth,
        "unscaled": f"{depth}, unscaled",
        "component": f"component {k} alone",
        "without": f"without its top {k}",
        "full-update": "full update in scope",
        "rest-only": "rest only",
        "random": f"random {depth}",
        "random-unscaled": f"random {depth}, unscaled",
    }[recipe.kind]
    words += f", times {recipe.scale:g}" if recipe.scale != 1 else ""
    words += ", merged" if recipe.merged else ""
    return words + (", with rest" if recipe.rest and recipe.kind != "rest-only" else "")


def _depth_label(depth: Depth) -> str:
    if depth.percent_components:
        return f"rank-{depth.percent_components:g} %"
    if depth.percent_parameters:
        return f"rank-{depth.percent_parameters:g} % of parameters"
    return f"rank-{depth.rank}"


def _draw(frame: pd.DataFrame) -> str:
    """Accuracy of the rank-k variants and controls, between the base and the full run."""
    parts = list(groups(frame, TABLE))
    longest = max((len(group) for _, group in parts), default=1)
    with sheet(len(parts), 0.9 + 0.2 * longest, sharex=True, sharey=True) as (figure, panels):
        for axes, (key, group) in zip(panels, parts, strict=True):
            _panel(axes, group)
            axes.set(title=panel_title(*key), xlabel="accuracy")
        legend(figure, panels[0])
        return svg(figure, "rank")


def _panel(axes: Axes, group: pd.DataFrame) -> None:
    base, full = group["accuracy"].iloc[0], group["accuracy"].iloc[-1]
    end_lines(axes.axvline, base, full)
    # Bars without length fix the order of the rows: each control stands below its variant.
    axes.barh(group["label"].iloc[1:-1].tolist(), 0)
    for kinds, words, look in _BARS:
        bars = group[group["kind"].isin(kinds)]
        axes.barh(
            bars["label"].tolist(),
            bars["accuracy"],
            xerr=Z95 * bars["stderr"],
            linewidth=0.5,
            error_kw={"elinewidth": 0.8},
            label=words,
            **look,
        )
    axes.yaxis.set_inverted(True)
    axes.grid(axis="y", visible=False)


def rank_tables(frame: pd.DataFrame) -> list[Table]:
    """Rank-k variants and controls, per run and test suite."""
    return tables_by_run(frame, _columns, _DIFFERENCES)


def _columns(frame: pd.DataFrame) -> list[Column]:
    labels = {row.variant: row.label for row in records(frame)}
    columns = [
        Column("variant", lambda r: _variant(r.label), kind="word"),
        Column("role", _role, kind="word"),
        *accuracy_columns(frame),
        RETENTION,
        RECOVERY,
        Column("difference to full run [95 %]", lambda r: paired_difference(r, "difference")),
        Column("difference to control [95 %]", lambda r: _against_control(r, labels)),
    ]
    if "checkpoint_difference" in frame:
        heading = "difference to its checkpoint [95 %]"
        columns.append(Column(heading, lambda r: paired_difference(r, "checkpoint_difference")))
    return [*columns, TRUNCATED]


def _variant(label: str) -> Cell:
    """A label, with the step of an early checkpoint on a line of its own."""
    words, at, step = label.partition(" at step ")
    return Cell(words, f"{at.lstrip()}{step}")


def _role(row: Any) -> str:
    roles = {"base": "start", "full run": "end", "full-update": "ceiling"}
    return roles.get(row.kind, "control" if row.kind in CONTROLS else "")


def _against_control(row: Any, labels: dict[str, str]) -> Cell:
    """The paired difference to the control of the same rank and norm, and which one that is."""
    difference = paired_difference(row, "control_difference")
    return Cell(difference, _variant(labels.get(row.control, "")).text)
