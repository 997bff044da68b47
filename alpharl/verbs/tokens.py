"""Let models read, and the base continue, the answers that others gave to a suite.

Reading tells how often a token is not the reader's likeliest one, and the perplexity of an answer.
Continuing tells how far the first tokens of a trained model take the base. Writes both as
reading.csv and prefix.csv.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from alpharl.bounds import MOST_COUNT
from alpharl.errors import AlpharlError
from alpharl.evaluation.token_tables import Continuation, Reading, SavedAnswers
from alpharl.frozen import Frozen
from alpharl.verbs import shared
from alpharl.verbs.inputs import named_paths
from alpharl.verbs.numbers import whole
from alpharl.verbs.outputs import write_csv
from alpharl.verbs.parser import prints
from alpharl.verbs.places import OutputFolder, Values
from alpharl.verbs.result import Table, Written

EXAMPLE = (
    "alpharl tokens --suite validation/suite.json --base models/base "
    "--writer 'step-{step}=scores/step-{step}.answers.jsonl' "
    "--reader 'step-{step}=runs/foo/checkpoint-{step}' --prefix 2 --out tokens"
)


class Tokens(Written):
    """Who reads whose answers as its own, and whose first tokens help the base."""

    reading: list[Reading]
    """One entry for each reader and writer."""
    continued: list[Continuation]
    """One entry for each writer and length of the prefix."""

    def blocks(self) -> Iterator[str | Table]:
        """Both tables, and where they are."""
        yield from _table("Answers read token by token", self.reading)
        yield from _table("First tokens of an answer, continued by the base", self.continued)
        yield from super().blocks()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    shared.suite(parser)
    shared.base(parser)
    parser.add_argument(
        "--writer", action="append", required=True, metavar="NAME=FILE",
        help="answers that `alpharl evaluate` kept of a model, or of several with {step} in both, "
        "as in 'step-{step}=scores/step-{step}.answers.jsonl'; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--reader", action="append", default=[], metavar="NAME=FOLDER",
        help="model or variant of the base that reads, or several with {step} in both, as in "
        "'step-{step}=runs/foo/checkpoint-{step}'; may be repeated; the base always reads",
    )  # fmt: skip
    parser.add_argument(
        "--prefix", type=whole(1, MOST_COUNT), nargs="*", default=[], metavar="N",
        help="let the base continue the first N tokens of each answer (default: continue none)",
    )  # fmt: skip
    shared.manifests(parser)
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16", "float16"], default="float32",
        help="precision of the models (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--batch-size", type=whole(1, MOST_COUNT), default=64, metavar="N",
        help="answers that are read, or continued, at once (default: %(default)s)",
    )  # fmt: skip
    shared.gpus(parser)
    parser.add_argument(
        "--out",
        type=Path,
        action=OutputFolder,
        writes=_tables,
        required=True,
        metavar="FOLDER",
        help="folder of the two tables",
    )
    prints(parser, Tokens)


def run(
    suite: Path,
    base: Path,
    writer: list[str],
    reader: list[str],
    prefix: list[int],
    manifests: list[Path],
    dtype: str,
    batch_size: int,
    gpus: int,
    out: Path,
) -> Tokens:
    """Make both tables."""
    from alpharl.checkpoints.manifest import KnownDigests
    from alpharl.evaluation.journal import RowFile
    from alpharl.evaluation.offline import go_offline
    from alpharl.gpu import cards
    from alpharl.progress import shown
    from alpharl.variants.adapters import read_source, tell_of_sources

    go_offline()
    writers, readers = named_paths(writer, files=True), {"base": base, **named_paths(reader)}
    files = _tables({"out": out})
    with cards(gpus), shown() as progress:
        sources = {name: read_source(folder, base) for name, folder in readers.items()}
        tell_of_sources(progress, base, sources)
        saved = SavedAnswers(suite, base, writers, prefix, dtype, batch_size)
        stamp = saved.stamp(readers, KnownDigests(manifests, base))
        rows = RowFile(out / ".rows.jsonl", stamp)
        try:
            reading = saved.read_by(readers, rows, progress)
        except AlpharlError:
            rows.remove()  # of no use once the reader has another digest
            raise
        continued = saved.continued(rows, progress)
        _write(reading, Reading, files[0])
        _write(continued, Continuation, files[1])
        rows.remove()
    written = [str(file) for file in files]
    return Tokens(written=written, reading=reading, continued=continued)


def _tables(values: Values) -> list[Path]:
    return [values["out"] / name for name in ("reading.csv", "prefix.csv")]


def _write(rows: Sequence[Frozen], kind: type[Frozen], out: Path) -> None:
    """Write rows as CSV, whose columns are the fields."""
    import pandas as pd

    columns = list(kind.model_fields)
    write_csv(pd.DataFrame([dict(row) for row in rows], columns=columns), out)


def _table(title: str, rows: Sequence[Frozen]) -> Iterator[Table]:
    if rows:
        yield Table(title, list(dict(rows[0])), [list(dict(row).values()) for row in rows])
