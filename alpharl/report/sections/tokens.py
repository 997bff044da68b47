"""Token by token: who would have written what, and how far the first tokens carry."""

from __future__ import annotations

from typing import Any

import pandas as pd

from alpharl.report.collect import Results
from alpharl.report.frames import Frames, with_rows
from alpharl.report.numbers import number, plus_minus
from alpharl.report.section import Section
from alpharl.report.tables import Column, Table, table


class Tokens(Section):
    """Models as readers of each other's answers, and as starters of the base's."""

    name = "tokens"
    title = "Token by token"
    null = (
        "If a writer did not differ from its reader, the share would be that of the reader's "
        "own answers, near 0 where decoding is greedy, and the writer's first tokens would "
        "carry the base no further than the base's own do."
    )
    text = """
    <p>What one model wrote, read by another: how many of the tokens are not what the reader would
    have taken, and its perplexity.
    A greedy writer that reads itself shows what tokenizing and rounding alone do; it should be near
    0.</p>
    {{ grid(reading) }}
    {% if prefix %}
    <p>The first tokens of one model's answers, continued by the base. The base after its own first
    tokens is the null.
    <em>Over by then</em>: answers that had ended within these tokens, which the base cannot
    spoil.</p>
    {{ grid(prefix) }}
    {% endif %}
    <p class="note">AlphaRL, appendix D. Data: <code>tables/tokens_reading.csv</code>,
    <code>tables/tokens_prefix.csv</code>.</p>
    """

    def frames(self, results: Results, frames: Frames) -> Frames:
        """What was measured token by token, if the study asks for it."""
        return with_rows(
            tokens_reading=results.tables["reading"], tokens_prefix=prefix_frame(results)
        )

    def context(self, results: Results, frames: Frames) -> dict[str, Any] | None:
        """Both tables; None where nothing was measured."""
        if "tokens_reading" not in frames:
            return None
        prefix = frames.get("tokens_prefix")
        return {
            "reading": reading_table(frames["tokens_reading"]),
            "prefix": None if prefix is None else prefix_table(prefix),
        }


def prefix_frame(results: Results) -> pd.DataFrame:
    """Per run, writer and length of the prefix: accuracy of the base that continues it.

    `own` is the accuracy of the same answers without any help, and `base` that of the base's.
    """
    frame = results.tables["prefix"].copy()
    if len(frame):
        alone = frame[frame["writer"] == "base"].drop_duplicates("run").set_index("run")["own"]
        frame["base"] = frame["run"].map(alone)
    return frame


def reading_table(frame: pd.DataFrame) -> Table:
    """Per run, writer and reader: share of tokens not the reader's likeliest, perplexity."""
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
