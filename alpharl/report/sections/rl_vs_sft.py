"""Whether RL differs from SFT: what is measured, and no more than that."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import Frames, groups, records
from alpharl.report.numbers import number, signed
from alpharl.report.permutation import compare
from alpharl.report.section import Section
from alpharl.report.sections.algorithm_measures import COMPARED
from alpharl.report.statistics import LEVEL, holm
from alpharl.report.tables import Cell, Column, Table, table
from alpharl.training.algorithms.imitation import Sft
from alpharl.training.registry import ALGORITHMS

RL = [name for name, algorithm in ALGORITHMS.items() if algorithm.rl]
SFT = Sft.name
_TESTS = [
    "base", "optimizer", "suite", "measure", "rl_runs", "sft_runs", "rl", "sft", "rl_null",
    "sft_null", "difference", "cliff", "p", "smallest", "holm", "reading",
]  # fmt: skip


class RlVsSft(Section):
    """Permutation tests over runs."""

    name = "rl_vs_sft"
    title = "Does RL differ from SFT?"
    null = (
        "If it made no difference which runs are RL and which are SFT, at most 1 measure in 20 "
        "would have a p below 0.05, and at most 1 table in 20 would have any such p left after "
        "Holm."
    )
    text = """
    {% for answer in answers %}
    <p>{{ answer }}</p>
    {% endfor %}
    {% for table in tables %}
    {{ grid(table) }}
    {% endfor %}
    <p class="note">RL: what weighs its own samples by an advantage made of a reward. A run counts
    once, whatever number of matrices or questions it has, and all its settings count: runs that
    differ in learning rate or length besides are no replicates. p: permutation test of the
    difference of means over all divisions of the runs of a base and optimizer, two-sided; Holm:
    Holm-Bonferroni over the measures of the table. Cliff's δ: ±1 where the two sides do not
    overlap. Where the nulls of both sides differ as the measure does, size or shape is enough to
    explain it. Data: <code>tables/algorithms.csv</code>, <code>tables/algorithm_runs.csv</code>,
    <code>tables/algorithm_tests.csv</code>.</p>
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """The tests, where runs are compared by group at all."""
        if "algorithm_runs" not in frames:
            return {}
        return {"algorithm_tests": compared_frame(frames["algorithm_runs"])}

    def context(self, results: Results, frames: Frames) -> dict[str, Any] | None:
        """Answers and tables; None where runs are not compared by group."""
        if "algorithm_tests" not in frames:
            return None
        runs, tests = frames["algorithm_runs"], frames["algorithm_tests"]
        return {"answers": answers(runs, tests), "tables": compared_tables(tests)}


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
        tests = [
            {"base": base, "optimizer": optimizer, "suite": suite, "measure": measure, **_test(one)}
            for (suite, measure), one in groups(part, ["suite", "measure"])
        ]
        adjusted = holm(np.array([row["p"] for row in tests]))
        rows += [
            {**row, "holm": p, "reading": _reading(row, p)}
            for row, p in zip(tests, adjusted, strict=True)
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
    sentences = [
        _answer(base, optimizer, part, measures)
        for (base, optimizer), part in groups(tests, ["base", "optimizer"])
    ]
    if not sentences:
        sentences = ["No base and optimizer here has runs of both RL and SFT, so this stays open."]
    algorithms = [name for name in dict.fromkeys(measures["algorithm"]) if name]
    others = [name for name in algorithms if name not in RL and name != SFT]
    if others:
        sentences.append(f"On neither side, in rows of their own: {', '.join(others)}.")
    unknown = list(dict.fromkeys(measures.loc[measures["algorithm"] == "", "group"]))
    if unknown:
        sentences.append(f"Not known how it was trained, so on neither side: {', '.join(unknown)}.")
    return sentences


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
        text += ": " + "; ".join(_difference(row) for row in records(differing))
    text += "."
    rest = [label(row) for row in records(tested[~(tested["holm"] < LEVEL)])]
    if rest:
        text += f" No difference could be shown in: {', '.join(rest)}."
    return text + _power(tested)


def _difference(row: Any) -> str:
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
    null_note = "" if np.isnan(null) else f"null {number(null)}, "
    return Cell(number(mean), f"{null_note}{_count(runs, 'run')}")
