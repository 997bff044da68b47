"""Runs by group, and whether RL differs from SFT: what is measured, and no more than that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import groups, records
from alpharl.report.measures import COMPARED, ENDS, HEAD, OF_SCORES, OF_UPDATES, SFT
from alpharl.report.permutation import compare
from alpharl.report.statistics import LEVEL, difference, holm
from alpharl.report.tables import Cell, Column, Table, table
from alpharl.report.words import DASH, number, signed
from alpharl.training.spec import RL

_TESTS = [
    "base", "optimizer", "suite", "measure", "rl_runs", "sft_runs", "rl", "sft", "rl_null",
    "sft_null", "difference", "cliff", "p", "smallest", "holm", "reading",
]  # fmt: skip


def groups_frame(results: Results, measures: pd.DataFrame) -> pd.DataFrame:
    """Per base, group, suite and measure: mean and standard deviation over the group's runs.

    `runs` counts those in which the measure is defined, `of` all. `null` is a mean too. `se`, of
    `gain` alone, is over questions: paired, each question's outcome a mean over the runs.
    """
    rows = []
    for (base, group, suite, measure), part in groups(
        measures, ["base", "group", "suite", "measure"]
    ):
        found = part["value"].dropna()
        rows.append(
            {
                **{"base": base, "group": group},
                **{name: ", ".join(dict.fromkeys(part[name])) for name in HEAD[2:]},
                **{"suite": suite, "measure": measure, "runs": len(found), "of": len(part)},
                **{"mean": found.mean(), "sd": found.std(ddof=1), "null": part["null"].mean()},
                "se": _gain_se(results, part["run"], suite) if measure == "gain" else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _gain_se(results: Results, runs: pd.Series, suite: str) -> float:
    """Standard error over questions of the runs' mean gain."""
    last = {run: f"step-{results.plan.steps(run)[-1]}" for run in runs}
    base_n, full_n = (
        np.mean([results.scores[run, suite, end[run]].correct_n for run in runs], axis=0)
        for end in (dict.fromkeys(runs, "step-0"), last)
    )
    return difference(full_n, base_n).se


def compared_frame(measures: pd.DataFrame) -> pd.DataFrame:
    """Per base and optimizer with runs of both: each measure of the RL runs against those of SFT.

    `p` is of the permutation test over runs and `smallest` the least that so few can give; `holm`
    is adjusted over the measures of the same base and optimizer. `rl_null` and `sft_null` are the
    means of what the measure is without signal: two sides may differ by no more than these do.
    """
    rows: list[dict[str, Any]] = []
    for (base, optimizer), part in groups(measures, ["base", "optimizer"]):
        if not (part["algorithm"].isin(RL).any() and (part["algorithm"] == SFT).any()):
            continue
        part = part[part["measure"].isin(COMPARED)]
        found = [
            {"base": base, "optimizer": optimizer, "suite": suite, "measure": measure, **_test(one)}
            for (suite, measure), one in groups(part, ["suite", "measure"])
        ]
        adjusted = holm(np.array([row["p"] for row in found]))
        rows += [
            {**row, "holm": p, "reading": _reading(row, p)}
            for row, p in zip(found, adjusted, strict=True)
        ]
    return pd.DataFrame(rows, columns=_TESTS)


def _test(part: pd.DataFrame) -> dict[str, Any]:
    """One measure; runs in which it is undefined are left out."""
    part = part[part["value"].notna()]
    rl, sft = part[part["algorithm"].isin(RL)], part[part["algorithm"] == SFT]
    return {
        **{"rl_runs": len(rl), "sft_runs": len(sft)},
        **{"rl": rl["value"].mean(), "sft": sft["value"].mean()},
        **{"rl_null": rl["null"].mean(), "sft_null": sft["null"].mean()},
        **asdict(compare(rl["value"].to_numpy(float), sft["value"].to_numpy(float))),
    }


def _reading(row: dict[str, Any], holm_p: float) -> str:
    runs = f"{row['rl_runs']} and {row['sft_runs']} runs"
    if np.isnan(holm_p):
        return f"not to be compared: defined in {runs}"
    if holm_p < LEVEL:
        return f"differs, {'higher' if row['difference'] > 0 else 'lower'} under RL"
    return f"no difference could be shown with {runs}"


def answers(measures: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """Whether RL differs from SFT, in sentences that follow from the numbers."""
    found = [
        _answer(base, optimizer, part, measures)
        for (base, optimizer), part in groups(tests, ["base", "optimizer"])
    ]
    if not found:
        found = ["No base and optimizer here has runs of both RL and SFT, so this stays open."]
    algorithms = [name for name in dict.fromkeys(measures["algorithm"]) if name]
    others = [name for name in algorithms if name not in RL and name != SFT]
    if others:
        found.append(f"On neither side, in rows of their own: {', '.join(others)}.")
    unknown = list(dict.fromkeys(measures.loc[measures["algorithm"] == "", "group"]))
    if unknown:
        found.append(f"Not known how it was trained, so on neither side: {', '.join(unknown)}.")
    return found


def _answer(base: str, optimizer: str, tests: pd.DataFrame, measures: pd.DataFrame) -> str:
    mine = measures[(measures["base"] == base) & (measures["optimizer"] == optimizer)]
    rl, sft = mine[mine["algorithm"].isin(RL)], mine[mine["algorithm"] == SFT]
    tested = tests[tests["p"].notna()]
    differing = tested[tested["holm"] < LEVEL]
    text = (
        f"Base {base}, {optimizer}: {_count(rl['run'].nunique(), 'RL run')} "
        f"({', '.join(dict.fromkeys(rl['algorithm']))}) against {sft['run'].nunique()} of SFT. "
        f"{len(differing)} of {_count(len(tested), 'measure')} "
        f"{'differs' if len(differing) == 1 else 'differ'} beyond chance"
    )
    if len(differing):
        text += ": " + "; ".join(_found(row) for row in records(differing))
    text += "."
    rest = [label(row) for row in records(tested[~(tested["holm"] < LEVEL)])]
    if rest:
        text += f" No difference could be shown in: {', '.join(rest)}."
    return text + _power(tested)


def _found(row: Any) -> str:
    return (
        f"{label(row)} {'higher' if row.difference > 0 else 'lower'} under RL "
        f"({number(row.rl)} against {number(row.sft)}, Cliff's δ {signed(row.cliff, 2)}, "
        f"p {number(row.p, 4)}, Holm {number(row.holm, 4)})"
    )


def _power(tested: pd.DataFrame) -> str:
    """What so few runs could have shown at best."""
    if tested.empty:
        return ""
    smallest, count = tested["smallest"].min(), len(tested)
    best = min(1.0, smallest * count)
    text = (
        f" The smallest p that so few runs can give is {number(smallest, 4)}, after Holm over "
        f"{_count(count, 'measure')} {number(best, 4)}"
    )
    return text + (": nothing could have been shown here." if best >= LEVEL else ".")


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def label(row: Any) -> str:
    """A measure in words, with its suite where it has one."""
    return COMPARED[row.measure] + (f" on {row.suite}" if row.suite else "")


def groups_tables(frame: pd.DataFrame) -> list[Table]:
    """A table of the scores on each test suite, then one of the updates themselves."""
    found = [
        replace(_grouped(part, ENDS | OF_SCORES), title=f"Scores on {suite}")
        for suite, part in groups(frame[frame["suite"] != ""], "suite")
    ]
    return [*found, replace(_grouped(frame[frame["suite"] == ""], OF_UPDATES), title="Updates")]


def _grouped(frame: pd.DataFrame, measures: dict[str, str]) -> Table:
    """A row per base and group, a column per measure that any of them has."""
    rows = [
        {
            **{name: getattr(part.iloc[0], name) for name in HEAD},
            "of": part["of"].max(),
            **{row.measure: _cell(row) for row in records(part)},
        }
        for _, part in groups(frame, ["base", "group"])
    ]
    columns = [
        Column("base", lambda r: r.base, kind="word"),
        Column("group", lambda r: r.group, kind="word"),
        Column("algorithm", lambda r: Cell(r.algorithm or DASH, r.optimizer), kind="word"),
        Column("runs", lambda r: str(r.of)),
        *(
            Column(words, _show(name))
            for name, words in measures.items()
            if name in set(frame["measure"])
        ),
    ]
    return table(pd.DataFrame(rows), columns, group="base")


def _cell(row: Any) -> Cell:
    """Mean and, in brackets, standard deviation over runs; below it, what it stands beside."""
    notes = [f"null {number(row.null)}"] if not np.isnan(row.null) else []
    notes += [f"se {number(row.se)}"] if not np.isnan(row.se) else []
    notes += [f"{row.runs} of {row.of} runs"] if row.runs < row.of else []
    spread = "" if np.isnan(row.sd) else f" ({number(row.sd)})"
    return Cell(number(row.mean) + spread, ", ".join(notes))


def _show(name: str) -> Callable[[Any], Cell]:
    """The cell of a measure; a dash where a group has none."""

    def show(row: Any) -> Cell:
        cell = getattr(row, name)
        return cell if isinstance(cell, Cell) else Cell(DASH)

    return show


def compared_tables(frame: pd.DataFrame) -> list[Table]:
    """One table per base and optimizer."""
    columns = [
        Column("measure", label, kind="word"),
        Column("RL", lambda r: _side(r.rl, r.rl_null, r.rl_runs)),
        Column("SFT", lambda r: _side(r.sft, r.sft_null, r.sft_runs)),
        Column("difference", lambda r: signed(r.difference)),
        Column("Cliff's δ", lambda r: signed(r.cliff, 2)),
        Column("p", lambda r: Cell(number(r.p, 4), f"at least {number(r.smallest, 4)}")),
        Column("Holm", lambda r: number(r.holm, 4)),
        Column("reading", lambda r: r.reading, kind="text"),
    ]
    return [
        table(part, columns, f"RL against SFT: base {base}, {optimizer}")
        for (base, optimizer), part in groups(frame, ["base", "optimizer"])
    ]


def _side(mean: float, null: float, runs: int) -> Cell:
    beside = "" if np.isnan(null) else f"null {number(null)}, "
    return Cell(number(mean), f"{beside}{_count(runs, 'run')}")
