"""Token-level tables: who would have written what, and how far the first tokens carry."""

from __future__ import annotations

import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.tables import Column, Table, table
from alpharl.report.words import number, plus_minus


def reading_frame(results: Results) -> pd.DataFrame:
    """Per run, writer and reader: share of tokens not the reader's likeliest, perplexity."""
    return results.tables["reading"]


def prefix_frame(results: Results) -> pd.DataFrame:
    """Per run, writer and length of the prefix: accuracy of the base that continues it.

    `own` is the accuracy of the same answers without any help, and `base` that of the base's.
    """
    frame = results.tables["prefix"].copy()
    if len(frame):
        bases = frame[frame["writer"] == "base"].drop_duplicates("run").set_index("run")["own"]
        frame["base"] = frame["run"].map(bases)
    return frame


def reading_table(frame: pd.DataFrame) -> Table:
    """The frame as the page shows it."""
    columns = [
        Column("run", lambda r: r.run, kind="word"),
        Column("written by", lambda r: r.writer, kind="word"),
        Column("read by", lambda r: r.reader, kind="word"),
        Column("not its likeliest token ± se", lambda r: plus_minus(r.nongreedy, r.nongreedy_se)),
        Column("perplexity ± se", lambda r: plus_minus(r.perplexity, r.perplexity_se)),
        Column("answers", lambda r: str(r.n)),
    ]
    return table(frame, columns, group="run")


def prefix_table(frame: pd.DataFrame) -> Table:
    """The frame as the page shows it."""
    columns = [
        Column("run", lambda r: r.run, kind="word"),
        Column("first tokens by", lambda r: r.writer, kind="word"),
        Column("how many", lambda r: str(r.prefix)),
        Column("base continues ± se", lambda r: plus_minus(r.accuracy, r.stderr)),
        Column("base alone", lambda r: number(r.base)),
        Column("writer alone", lambda r: number(r.own)),
        Column("over by then", lambda r: f"{r.whole:.0%}"),
    ]
    return table(frame, columns, group="run")
