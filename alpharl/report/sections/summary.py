"""Each run in two or three sentences, and how many forecasts differ from `last` beyond chance."""

from __future__ import annotations

from typing import Any

import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import Frames, groups, records
from alpharl.report.numbers import number, plus_minus, recovered, signed
from alpharl.report.section import Section
from alpharl.report.sections.forecast import comparisons


class Summary(Section):
    """What the study says, before all numbers."""

    name = "summary"
    text = """
    <dl class="summary">
    {% for run, sentences in summary %}
    <dt>{{ run }}</dt>
    <dd>{{ sentences }}</dd>
    {% endfor %}
    </dl>
    {% if compared %}
    <p>{{ compared }} forecasts were compared with <em>last</em>: {{ better }} better and
    {{ worse }} worse beyond error. About {{ chance }} of the {{ compared }} would fall on one side
    or the other by chance alone if no forecast differed from <em>last</em>. After Holm-Bonferroni
    over all of them, {{ better_of_all }} better and {{ worse_of_all }} worse remain.</p>
    {% endif %}
    """

    def context(self, results: Results, frames: Frames) -> dict[str, Any]:
        """Sentences per run, and the counts of all comparisons with `last`."""
        sentences = summary(frames["gains"], frames["rank"], frames["forecasts"])
        return {"summary": sentences, **comparisons(frames["forecasts"])}


def summary(
    gains: pd.DataFrame, ranks: pd.DataFrame, forecasts: pd.DataFrame
) -> list[tuple[str, str]]:
    """Per run and test suite: its name, and two or three sentences."""
    lines = []
    tests = gains[gains["role"] == "test"]
    for row in records(tests):
        name = row.run if tests["suite"].nunique() == 1 else f"{row.run} ({row.suite})"
        mine = [
            frame[(frame["run"] == row.run) & (frame["suite"] == row.suite)]
            for frame in (ranks, forecasts)
        ]
        parts = [_gain_sentence(row), _rank_sentence(mine[0]), _forecast_sentence(mine[1])]
        lines.append((str(name), " ".join(part for part in parts if part)))
    return lines


def _gain_sentence(row: Any) -> str:
    text = (
        f"Accuracy on {row.suite} goes from {number(row.base)} (base) to {number(row.full)} "
        f"(full run, step {row.last_step}), a gain of {plus_minus(row.gain, row.gain_se)}."
    )
    return text if row.defined else text + " That is no gain beyond error."


def _rank_sentence(variants: pd.DataFrame) -> str:
    """What the smallest rank keeps at the run's last step, next to the controls of that rank."""
    plain = variants[variants["scale"].eq(1) & variants["rest"].eq(False) & variants["rank"].gt(0)]
    plain = plain[plain["step"] == variants["step"].max()]
    ranks = plain[plain["kind"] == "rank"].sort_values("rank")
    if ranks.empty:
        return ""
    k = ranks["rank"].iloc[0]
    parts = [f"Rank-{k} has {_ratios(next(records(ranks)))}"]
    controls = {
        "random": f"a random rank-{k} update of the same norm",
        "without": f"the update without its top {k}",
    }
    for row in records(plain[plain["rank"] == k]):
        if row.kind in controls:
            parts.append(f"{controls[row.kind]} has {_ratios(row)}")
    return "; ".join(parts) + "."


def _ratios(row: Any) -> str:
    return f"gain recovery {recovered(row, 2)} (retention {number(row.retention, 2)})"


def _forecast_sentence(forecasts: pd.DataFrame) -> str:
    """Per window, which forecasts beat `last` beyond error."""
    defined = forecasts[forecasts["difference"].notna()]
    parts = [
        f"at window {window}{_last_clause(group)}, {_winners(group[group['method'] != 'last'])}"
        for window, group in groups(defined, "window")
    ]
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "." if text else ""


def _last_clause(group: pd.DataFrame) -> str:
    """What the window's last checkpoint has without any forecast."""
    ratios = [_ratios(row) for row in records(group[group["method"] == "last"])]
    return f", where last has {ratios[0]}" if ratios else ""


def _winners(group: pd.DataFrame) -> str:
    better = group[group["difference_low"] > 0].sort_values("difference", ascending=False)
    names = [f"{row.label} ({signed(row.difference)})" for row in records(better)]
    verb = "beat" if len(names) > 1 else "beats"
    return f"{', '.join(names) or 'no forecast'} {verb} last beyond error"
