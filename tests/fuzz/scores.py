"""Mutated scores: files that `alpharl evaluate` writes, and tables that people hand over.

A score is what `json` reads, with the digest that `hashlib` finds. A table is what pandas reads of
it as text, with rules of its own for decimal commas and percent signs.
"""

from __future__ import annotations

import csv
import io
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from alpharl.dynamics.accuracy import read_accuracy
from alpharl.evaluation.scores import read_score

from tests.bad_inputs.made import READERS
from tests.bad_inputs.scores import READERS as OF_TABLES
from tests.fuzz.mutations import spoiled
from tests.fuzz.rounds import Kind
from tests.fuzz.seals import mutate_record, require_sealed

SCORE, TABLE, LISTED = "made/scores/base.json", "scores.csv", "made/validation.csv"
_CELLS = [
    "", " ", "0.3", "30%", "30 %", "0,3", "30", "1", "1.0", "-0.1", "nan", "inf", "1e-1", "+.5",
    ".5%", "5.", "1_0", "0x1", "high", '"', "'0.3'", "10", "10.0", "1e1", "1.000",
    "010", "30,0", "1e400", "1" * 400, "\ufeff10", "10\u00a0", "\u0663",
]  # fmt: skip
_HEADERS = [
    "step", "accuracy", "Step", "ACCURACY", "eval_accuracy", "run-1 - val/acc", "acc", "x", "",
    "train/global_step", "global step", "stderr", "train_accuracy",
]  # fmt: skip
_CHANGES = ["cell", "cell", "cell", "again", "drop", "long", "short", "blank", "swap"]


def _mutate(rng: random.Random) -> str:
    if rng.random() < 0.45:
        return mutate_record(rng, SCORE, 0.5, 40)
    if rng.random() < 0.1:  # of a table whose digest is listed
        path = Path(LISTED)
        path.write_bytes(spoiled(rng, path.read_bytes()))
        return LISTED
    Path(TABLE).write_bytes(_table(rng))
    return TABLE


def _table(rng: random.Random) -> bytes:
    """A table, good but for some cells, a row or a column, as one program or another writes it."""
    separator, percent = rng.choice([",", ",", ";", "\t"]), rng.random() < 0.2
    rows = [["step", "accuracy"], *[[str(s), f"{0.2 + s / 100:g}"] for s in (0, 10, 20, 30)]]
    if percent:
        rows[1:] = [[step, f"{100 * float(a):g}%"] for step, a in rows[1:]]
    if separator != "," and rng.random() < 0.5:
        rows[1:] = [[cell.replace(".", ",") for cell in row] for row in rows[1:]]
    if rng.random() < 0.2:
        rows = [[*row, rng.choice(["", "0.1", "x"])] for row in rows]
    for _ in range(rng.choice([0, 1, 1, 2])):
        row = rng.choice(rows)
        change = rng.choice(
            ["cell", "cell", "cell", "again", "drop", "long", "short", "blank", "swap"]
        )
        if change == "cell" and row:
            row[rng.randrange(len(row))] = rng.choice(_HEADERS if row is rows[0] else _CELLS)
        elif change == "again":
            rows.insert(rng.randint(0, len(rows)), [*row])
        elif change == "drop":
            rows.remove(row)
        elif change in ("long", "short"):
            row[:] = [*row, rng.choice(_CELLS)] if change == "long" else row[:-1]
        elif change == "swap":
            rows = [row[::-1] for row in rows]
        else:
            rows.insert(rng.randint(0, len(rows)), [""] * rng.choice([1, len(row)]))
    quote = rng.choice(["", "", '"'])
    end = rng.choice(["\n", "\n", "\r\n", "\r"])
    text = end.join(separator.join(f"{quote}{cell}{quote}" for cell in row) for row in rows)
    text = (f"sep={separator}{end}" if rng.random() < 0.1 else "") + text + rng.choice([end, ""])
    data = text.encode(rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16"]))
    return spoiled(rng, data) if rng.random() < 0.25 else data


def _read(file: str) -> Any:
    return read_score(Path(file)) if file == SCORE else read_accuracy(Path(file))


def _check(file: str, read: Any) -> None:
    if file == SCORE:
        stored = require_sealed(Path(file))
        assert read == {key: stored[key] for key in read}, "other values"
        assert stored.keys() - read.keys() <= {"seal"}
        assert len(read["correct"]) == len(read["question_ids"]) == read["n"]
        assert all(0 <= value <= 1 for value in (read["accuracy"] or 0, *read["correct"]))
        return
    expected = _as_pandas(Path(file).read_bytes())
    assert read == expected and [*read] == sorted(read), f"{read}, pandas {expected}"
    assert all(0 <= value <= 1 for value in read.values())
    if file == LISTED:
        assert read == {0: 0.0}, "changed behind its digest"


def _as_pandas(data: bytes) -> dict[int, float]:
    """Accuracy by step."""
    marked = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    lines = re.split("\r\n|\r|\n", data.decode("utf-16" if marked else "utf-8-sig"))
    # One quote alone ends or begins a cell of several lines.
    lines = [line for line in lines if line.strip(' ,;\t"') or line.count('"') % 2]
    told = re.fullmatch('"?sep=(.)"?', lines[0].strip(" "))
    lines = lines[1:] if told else lines
    separator = told[1] if told else max(",;\t", key=lambda s: len(next(_split(lines[0], s))))
    width = len(next(_split(lines[0], separator)))
    frame = pd.read_csv(
        io.StringIO("\n".join(lines)), sep=separator, dtype=str, keep_default_na=False,
        skipinitialspace=True, engine="python", index_col=False,
        on_bad_lines=lambda cells: None if any(map(str.strip, cells[width:])) else cells[:width],
    )  # fmt: skip
    frame.columns = frame.columns.str.strip().str.casefold()
    frame = frame.apply(lambda column: column.str.strip())
    frame = frame[(frame != "").any(axis=1)]
    return dict(zip(_numbers(_column(frame, _STEPS)), _shares(frame), strict=True))


_STEPS = {"step", "global_step", "global step"}
_ENDS = {"accuracy", "acc"}
_STARTS = {
    f"{name}{mark}" for name in ("eval", "val", "valid", "validation", "dev") for mark in "_/ .-"
}
_ACCURACIES = _ENDS | {start + end for start in _STARTS for end in _ENDS}
"""Names that tables give to accuracies of a validation."""


def _column(frame: pd.DataFrame, names: set[str]) -> pd.Series:
    """The one column of these names; W&B puts the run before the metric."""
    exact = [c for c in frame.columns if c == "accuracy" and names is _ACCURACIES]
    named = [c for c in frame.columns if c.split(" - ")[-1] in names or c.endswith("/global_step")]
    named = [c for c in named if (names is _STEPS) or not c.endswith("/global_step")]
    (name,) = exact or named
    return frame[name]


def _shares(frame: pd.DataFrame) -> list[float]:
    cells = _column(frame, _ACCURACIES)
    signs = cells.str.endswith("%")
    assert signs.all() or not signs.any(), "percentages next to shares"
    return [x / 100 if signs.any() else x for x in _numbers(cells.str.rstrip("%"))]


def _numbers(cells: pd.Series) -> list[float]:
    assert cells.str.fullmatch(r"[-+0-9.,eE ]+").all(), "no numbers"
    return [float(cell.strip().replace(",", ".")) for cell in cells]


def _split(line: str, separator: str) -> Any:
    return csv.reader([line], delimiter=separator)


def _compare(call: str) -> None:
    """The table that `alpharl accuracy` writes has the numbers of the score."""
    if call.startswith("accuracy"):
        (row,) = pd.read_csv("new.csv").to_dict("records")
        score = json.loads(Path(SCORE).read_text())
        for key in ("accuracy", "stderr", "n"):
            assert np.isclose(row[key], score[key], rtol=1e-5), f"{key}: {row[key]} {score[key]}"


KIND = Kind(
    "scores", _mutate, _read, _check,
    {SCORE: [*READERS[SCORE].values()], TABLE: [*OF_TABLES.values()]},
    lenient=frozenset({"accuracy"}),  # reads the numbers of its own table alone
    compare=_compare,
)  # fmt: skip
