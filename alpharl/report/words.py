"""Numbers as text, and the sentences that are computed from them."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import groups, records
from alpharl.report.statistics import LEVEL, holm
from alpharl.spectra.depth import Depth
from alpharl.training.spec import ModelShape
from alpharl.variants.recipes import Recipe

DASH = "—"


def number(value: float | None, digits: int = 3) -> str:
    """A fixed number of decimals and a true minus sign; a dash where undefined."""
    if value is None or math.isnan(value):
        return DASH
    return f"{value:,.{digits}f}".replace("-", "−").replace(",", " ")


def plus_minus(value: float, se: float, digits: int = 3) -> str:
    """A value and its standard error, which is left out where it is 0 by definition."""
    if math.isnan(value) or se == 0:
        return number(value, digits)
    return f"{number(value, digits)} ± {number(se, digits)}"


def signed(value: float, digits: int = 3) -> str:
    """As `number`, with a plus sign where not negative."""
    return number(value, digits) if math.isnan(value) or value < 0 else f"+{number(value, digits)}"


def interval(low: float, high: float) -> str:
    """A 95 % interval."""
    return DASH if math.isnan(low) else f"[{signed(low)}, {signed(high)}]"


def verdict(low: float, high: float, adjusted: float) -> str:
    """Whether an interval excludes zero, as a sign that survives printing.

    Filled where it does so among all comparisons of its table too, by its adjusted p.
    """
    filled = adjusted < LEVEL
    if low > 0:
        return "▲" if filled else "△"
    return ("▼" if filled else "▽") if high < 0 else ""


def apart(row: Any, name: str) -> str:
    """A row's paired difference of this name with its 95 % interval, and a sign if it excludes 0.

    A dash where there is no comparison: an undefined method, or a reference with itself.
    """
    if math.isnan(getattr(row, f"{name}_p")):
        return DASH
    low, high = getattr(row, f"{name}_low"), getattr(row, f"{name}_high")
    sign = verdict(low, high, getattr(row, f"{name}_holm"))
    return f"{sign} {signed(getattr(row, name))} {interval(low, high)}".strip()


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


def recovered(row: Any, digits: int = 3) -> str:
    """Gain recovery of a table row, or why there is none."""
    if math.isnan(row.accuracy):
        return DASH
    if math.isnan(row.gain_recovery):
        return "undefined (no gain)"
    return plus_minus(row.gain_recovery, row.gain_recovery_se, digits)


def toy_notice(results: Results) -> str | None:
    """The plain notice for a study whose bases are all pretrained in the workflow."""
    specs = [base.pretrain for base in results.study.bases.values()]
    sizes = [_parameters(spec.model) for spec in specs if spec is not None]
    if len(sizes) < len(specs):
        return None
    size = f"{max(sizes) / 1e6:.2g}M"
    return (
        f"Every base here is a toy model of about {size} parameters, pretrained in this study. "
        "It shows how the instrument works, not what large models do."
    )


def _parameters(shape: ModelShape) -> int:
    """Weights of the layers' matrices; embeddings of a toy vocabulary add little."""
    attention, mlp = 4 * shape.hidden_size**2, 3 * shape.hidden_size * shape.intermediate_size
    return shape.num_hidden_layers * (attention + mlp)


def summary(
    gains: pd.DataFrame, recovery: pd.DataFrame, forecasts: pd.DataFrame
) -> list[tuple[str, str]]:
    """Per run and test suite: its name, and two or three sentences."""
    found = []
    tests = gains[gains["role"] == "test"]
    for row in records(tests):
        name = row.run if tests["suite"].nunique() == 1 else f"{row.run} ({row.suite})"
        mine = [
            frame[(frame["run"] == row.run) & (frame["suite"] == row.suite)]
            for frame in (recovery, forecasts)
        ]
        parts = [_gain_sentence(row), _rank_sentence(mine[0]), _forecast_sentence(mine[1])]
        found.append((str(name), " ".join(part for part in parts if part)))
    return found


def _gain_sentence(row: Any) -> str:
    text = (
        f"Accuracy on {row.suite} goes from {number(row.base)} (base) to {number(row.full)} "
        f"(full run, step {row.last_step}), a gain of {plus_minus(row.gain, row.gain_se)}."
    )
    return text if row.defined else text + " That is no gain beyond error."


def _rank_sentence(recovery: pd.DataFrame) -> str:
    """What the smallest rank keeps at the run's last step, beside the controls of that rank."""
    plain = recovery[recovery["scale"].eq(1) & recovery["rest"].eq(False) & recovery["rank"].gt(0)]
    plain = plain[plain["step"] == recovery["step"].max()]
    ranks = plain[plain["kind"] == "rank"].sort_values("rank")
    if ranks.empty:
        return ""
    k = ranks["rank"].iloc[0]
    parts = [f"Rank-{k} has {_kept(next(records(ranks)))}"]
    controls = {
        "random": f"a random rank-{k} update of the same norm",
        "without": f"the update without its top {k}",
    }
    for row in records(plain[plain["rank"] == k]):
        if row.kind in controls:
            parts.append(f"{controls[row.kind]} has {_kept(row)}")
    return "; ".join(parts) + "."


def _kept(row: Any) -> str:
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
    kept = [_kept(row) for row in records(group[group["method"] == "last"])]
    return f", where last has {kept[0]}" if kept else ""


def _winners(group: pd.DataFrame) -> str:
    better = group[group["difference_low"] > 0].sort_values("difference", ascending=False)
    names = [f"{row.label} ({signed(row.difference)})" for row in records(better)]
    verb = "beat" if len(names) > 1 else "beats"
    return f"{', '.join(names) or 'no forecast'} {verb} last beyond error"


def comparisons(forecasts: pd.DataFrame) -> dict[str, Any]:
    """How many forecasts were compared with `last`, and how many chance would single out.

    `better_of_all` and `worse_of_all` survive Holm-Bonferroni over all tables.
    """
    compared = forecasts[forecasts["difference_p"].notna()]
    kept = holm(compared["difference_p"].to_numpy(float)) < LEVEL
    better, worse = compared["difference_low"] > 0, compared["difference_high"] < 0
    return {
        "compared": len(compared),
        "better": int(better.sum()),
        "worse": int(worse.sum()),
        "better_of_all": int((better & kept).sum()),
        "worse_of_all": int((worse & kept).sum()),
        "chance": number(len(compared) * LEVEL, 1),
    }
