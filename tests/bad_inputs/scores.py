"""Bad inputs of the kind scores: tables that hold no accuracy per step, or not only that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.bad_inputs.good import RUN
from tests.bad_inputs.table import BadInput

READERS = {
    "trust": f"trust {RUN} --scores scores.csv",
    "forecast": f"forecast {RUN} --scores scores.csv --method relex --target-step 60 --out new",
    "dynamics": f"dynamics {RUN} --scores scores.csv --out new.parquet",
    "some": f"trust {RUN} --steps 10 20 --scores scores.csv",
}
"""Verbs that read scores; the last takes a part of the run's checkpoints."""
GOOD = ["0,0.2", "10,0.3", "20,0.4", "30,0.5"]


def table(*rows: str, header: str = "step,accuracy") -> Callable[[Path], object]:
    """Write other scores."""
    return raw("\n".join([header, *rows, ""]).encode())


def raw(data: bytes) -> Callable[[Path], object]:
    """Write bytes in place of the scores."""
    return lambda folder: (folder / "scores.csv").write_bytes(data)


def row(text: str) -> Callable[[Path], object]:
    """Good scores with another third row."""
    return table(GOOD[0], text, *GOOD[2:])


def more(text: str) -> Callable[[Path], object]:
    """Good scores and one more row, the sixth."""
    return table(*GOOD, text)


AT = r"scores\.csv: row 3: "
BAD = {
    "percent": (row("10,30"), AT + "found accuracy 30, expected .* percent, write 0.3 or 30%"),
    "a percentage above 100": (
        table("0,20%", "10,130%"), AT + "found accuracy 130%, expected a share"
    ),
    "percentages and shares": (row("10,30%"), r"row 2: found accuracy 0.2, expected a %"),
    "decimal commas between commas": (row("10,0,3"), AT + "found 3 fields, expected 2"),
    "nan": (row("10,nan"), AT + "found accuracy nan, expected a share from 0 to 1"),
    "infinity": (row("10,inf"), AT + "found accuracy inf"),
    "an empty accuracy": (row("10,"), AT + "found no accuracy"),
    "a cut row": (row("10"), AT + "found 1 of the header's 2 fields"),
    "an empty step": (row(",0.3"), AT + "found no step, expected a whole number"),
    "a negative accuracy": (row("10,-0.3"), AT + "found accuracy -0.3"),
    "an accuracy of thousands": (row("10,1234"), AT + "found accuracy 1234"),
    "an accuracy in words": (row("10,high"), AT + "found accuracy high"),
    "digits with underscores": (row("1_0,0.3"), AT + "found step 1_0"),
    "half a step": (row("10.5,0.3"), AT + r"found step 10\.5, expected a whole number"),
    "a step of thousands": (row("1.000,0.3"), AT + r"found step 1\.000, which is 1 in some"),
    "a negative step": (row("-10,0.3"), AT + "found step -10, expected a whole number, 0 or more"),
    "an endless step": (row("1e99,0.3"), AT + "found step 1e99"),
    "a step that is nan": (row("nan,0.3"), AT + "found step nan"),
    "a repeated step": (more("10,0.3"), "row 6: found step 10 again, after row 3; remove one"),
    "a repeated step, written otherwise": (more("10.0,0.3"), "row 6: found step 10 again"),
    "a second base": (more("0,0.3"), "row 6: found step 0 again"),
    "a step without checkpoint": (more("25,0.4"), r"row 6: found step 25, expected .*10, 20, 30"),
    "a step after the run": (more("999,0.4"), "row 6: found step 999, expected 0 or the step of"),
    "evaluations counted": (table("1,0.3", "2,0.4", "3,0.5"), "row 2: found step 1, expected 0 or"),
    "no rows": (table(), r"scores\.csv: found no rows, expected steps"),
    "nothing": (raw(b""), r"scores\.csv: found no header"),
    "other columns": (table("1,2", header="a,b"), "found columns 'a', 'b', expected 'step' and"),
    "no header": (raw(b"0,0.2\n10,0.3\n"), "found columns '0', '0.2', expected 'step' and"),
    "columns of two runs": (
        table("10,0.3,0.4", header="Step,a - eval_accuracy,b - eval_accuracy"),
        "rename the one that holds the accuracy, 'a - eval_accuracy' or 'b - eval_accuracy'",
    ),
    "a training accuracy": (
        table("10,0.3", header="step,train_accuracy"),
        "found columns 'step', 'train_accuracy', expected 'step' and 'accuracy'",
    ),
    "two columns of one name": (
        table("10,0.3,0.4", header="step,accuracy,Accuracy"), "found 2 columns named 'accuracy'"
    ),
    "two columns of steps": (
        table("1,10,0.3", header="Step,train/global_step,accuracy"),
        "rename the one that holds the step, 'Step' or 'train/global_step'",
    ),
    "an open quote": (raw(b'step,accuracy\n10,"0.3\n'), "found no table .*unexpected end of data"),
    "a workbook": (raw(b"PK\x03\x04\x14\x00\x06\x00\x08\x00"), "found bytes that are no text"),
    "Latin-1": (raw("step,accuracy,größe\n10,0.3,1\n".encode("latin-1")), "found bytes"),
    "a folder": (
        lambda folder: ((folder / "scores.csv").unlink(), (folder / "scores.csv").mkdir()),
        r"scores\.csv: found no table that can be read \(Is a directory\)",
    ),
}  # fmt: skip
ROWS = [BadInput(name, spoil, line, READERS) for name, (spoil, line) in BAD.items()]
