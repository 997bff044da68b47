"""Fit each matrix's path through training, and set every fit next to null models.

Does the update grow along a line, does accuracy follow it, do its first singular vectors keep their
direction? Random walks and permuted accuracies say what such fits give without any of that. The
result ends with the verdict on a forecast of twice the last step.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from alpharl.bounds import MOST_DRAWS
from alpharl.errors import AlpharlError
from alpharl.frozen import Frozen
from alpharl.verbs import shared
from alpharl.verbs.judgement import Judgement, judged
from alpharl.verbs.numbers import number, whole
from alpharl.verbs.opened import opened
from alpharl.verbs.outputs import (
    records,
    write_csv,
    write_table,
)
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputFile, OutputTable
from alpharl.verbs.result import Result, Table

if TYPE_CHECKING:
    import pandas as pd

    from alpharl.spectra.gram import Gram
    from alpharl.trajectory import Trajectory

EXAMPLE = (
    "alpharl dynamics --base models/base --checkpoints 'runs/foo/checkpoint-{step}' "
    "--scores scores.csv --out dynamics.parquet"
)
KEEP_LAST = "keep-last"


class Fit(Frozen):
    """A fit over all matrices, next to one null model."""

    measure: str
    """What is fitted, such as `line_r2`."""
    null: str
    """The null model, such as `random-walk`; `keep-last` is what the last seen weights give."""
    value: float | None
    """Mean over matrices."""
    null_q05: float | None
    """Mean of the null's 5 % quantile."""
    null_q50: float | None
    """Mean of the null's median."""
    null_q95: float | None
    """Mean of the null's 95 % quantile."""
    beyond: float | None
    """Share of matrices with p < 0.05 under the null, 0.05 by chance; none for `keep-last`."""


class ModuleFit(Frozen):
    """A fit over the matrices of one module, next to one null model."""

    measure: str
    """What is fitted."""
    null: str
    """The null model."""
    module: str
    """Name of the module, such as `q_proj`."""
    value: float | None
    """Mean over the module's matrices."""
    beyond: float | None
    """Share of them with p < 0.05 under the null."""


class Dynamics(Result):
    """Fits of a run's path in brief, and the verdict on going on with it."""

    matrices: int
    """Number of matrices that were fitted."""
    fits: list[Fit]
    """A row per fit and null model."""
    by_module: list[ModuleFit]
    """A row per fit, null model and module."""
    verdict: Judgement | None
    """Whether a forecast of twice the last step is supported; none where no verdict can be had."""
    no_verdict: str | None
    """Why none can be had."""
    notes: list[str]
    """How to read what was written."""
    written: list[str]
    """The table of all matrices, as Parquet and as CSV, and the pictures' points."""

    def blocks(self) -> Iterator[str | Table]:
        """Each fit next to the null that is hardest to beat, over all matrices and by module."""
        hardest = [*_hardest(self.fits)]
        yield self._overall(hardest)
        yield ""
        yield self._modules(hardest)
        yield ""
        yield from [f"no verdict: {self.no_verdict}"] if self.no_verdict else []
        if self.verdict:
            yield f"A forecast of step {self.verdict.target_step}, twice as far:"
            yield from self.verdict.blocks()
        yield from self.notes
        yield from (f"wrote {path}" for path in self.written)

    def _overall(self, hardest: Iterable[Fit]) -> Table:
        last = {fit.measure: fit.null_q50 for fit in self.fits if fit.null == KEEP_LAST}
        rows = [
            [fit.measure, fit.value, last.get(fit.measure), fit.null, fit.null_q05, fit.null_q50,
             fit.null_q95, fit.beyond]
            for fit in hardest
        ]  # fmt: skip
        return Table(
            f"Mean over {self.matrices} matrices, next to the null that the fewest matrices beat",
            ["measure", "value", KEEP_LAST, "null", "null_q05", "null_q50", "null_q95", "p<0.05"],
            rows,
        )

    def _modules(self, hardest: Iterable[Fit]) -> Table:
        beyond = {(row.measure, row.null, row.module): row.beyond for row in self.by_module}
        modules = [*dict.fromkeys(row.module for row in self.by_module)]
        return Table(
            "By module: share of matrices with p < 0.05 under that null; 0.05 is chance",
            ["measure", *modules],
            [
                [fit.measure, *(beyond.get((fit.measure, fit.null, name)) for name in modules)]
                for fit in hardest
            ],
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    shared.base(parser)
    shared.checkpoints(parser)
    shared.scores(parser, required=True)
    shared.files(parser)
    parser.add_argument(
        "--permutations", type=whole(1, MOST_DRAWS), default=200, metavar="N",
        help="draws of each null model (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--holdout", type=number(above=0, below=1), default=0.6, metavar="SHARE",
        help="share of the checkpoints that hold-outs are fitted on; the later ones are predicted "
        "(default: %(default)s)",
    )  # fmt: skip
    shared.seed(parser, "the null models' draws")
    parser.add_argument(
        "--out", type=Path, action=OutputTable, required=True, metavar="FILE",
        help="Parquet file to write, a row per matrix, fit and null; a CSV file goes next to it",
    )  # fmt: skip
    parser.add_argument(
        "--pca",
        type=Path,
        action=OutputFile,
        metavar="FILE",
        help="CSV file to write the path's components to",
    )
    parser.add_argument(
        "--tsne", type=Path, action=OutputFile, metavar="FILE",
        help="CSV file to write a t-SNE of the path to; it shows neighbourhoods and nothing else",
    )  # fmt: skip
    prints(parser, Dynamics)


def run(
    base: Path,
    checkpoints: list[str],
    steps: list[int] | None,
    scores: Path,
    factors: str | None,
    gram: str | None,
    shards: int,
    permutations: int,
    holdout: float,
    seed: int,
    out: Path,
    pca: Path | None,
    tsne: Path | None,
) -> Dynamics:
    """Fit a run's matrices; write the table, and on request the path's pictures."""
    with opened(
        base, checkpoints, steps, scores=scores, factors=factors, gram=gram, shards=shards
    ) as trajectory:
        table = trajectory.dynamics(permutations, holdout, seed)
        path, (verdict, no_verdict) = trajectory.gram, _judge(trajectory)
    names, written, notes = [*table["tensor"].unique()], list[str](), list[str]()
    if pca:
        _write_pca(path, names, permutations, seed, pca)
        written.append(str(pca))
    if tsne:
        notes.append(_write_tsne(path, names, seed, tsne))
        written.append(str(tsne))
    return Dynamics(
        matrices=len(names),
        fits=[Fit.model_validate(row) for row in records(_fits(table))],
        by_module=[ModuleFit.model_validate(row) for row in records(_by_module(table))],
        verdict=verdict,
        no_verdict=no_verdict,
        notes=notes,
        written=[*write_table(table, out), *written],
    )


def _judge(trajectory: Trajectory) -> tuple[Judgement | None, str | None]:
    """The verdict on twice the last step, or why there is none."""
    try:
        return Judgement(**judged(trajectory.verdict(target_multiple=2))), None
    except AlpharlError as error:
        return None, str(error)


def _write_pca(path: Gram, names: list[str], draws: int, seed: int, out: Path) -> None:
    from alpharl.dynamics.pca import pca_table

    write_csv(pca_table(path, names, draws, seed), out)


def _write_tsne(path: Gram, names: list[str], seed: int, out: Path) -> str:
    """Write the picture's points; how to read them."""
    from alpharl.dynamics.pca import total_gram
    from alpharl.dynamics.tsne import CAVEAT, perplexity, tsne_table

    write_csv(tsne_table(total_gram(path, names), path.steps, seed), out)
    return CAVEAT.format(perplexity=perplexity(len(path.steps) + 1), seed=seed)


def _fits(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of `Fit`."""
    from alpharl.dynamics.summary import summarize

    return summarize(table).rename(columns={"p<0.05": "beyond"}).reset_index()


def _by_module(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of `ModuleFit`."""
    from alpharl.dynamics.summary import by_module

    long = by_module(table).melt(ignore_index=False, var_name="module", value_name="beyond")
    long = long.reset_index()
    values = long[long["null"] == "value"].drop(columns="null").rename(columns={"beyond": "value"})
    return long[long["null"] != "value"].merge(values, on=["measure", "module"])


def _hardest(fits: Iterable[Fit]) -> Iterator[Fit]:
    """The null of each measure that the fewest matrices beat; of several, the nearest."""
    from alpharl.dynamics.table import ERRORS

    def margin(fit: Fit) -> tuple[float, float]:
        value, low, high = (x or 0.0 for x in (fit.value, fit.null_q05, fit.null_q95))
        return fit.beyond or 0.0, low - value if fit.measure in ERRORS else value - high

    judged = [fit for fit in fits if fit.null != KEEP_LAST]
    for measure in dict.fromkeys(fit.measure for fit in judged):
        yield min((fit for fit in judged if fit.measure == measure), key=margin)
