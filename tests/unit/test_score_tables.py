"""Score tables as programs write them, and mappings. Refusals: tests/bad_inputs/scores.py."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from alpharl import Trajectory
from alpharl.dynamics.accuracy import accuracy_of, read_accuracy
from alpharl.errors import TableError

SCORES = {0: 0.25, 10: 0.375, 20: 0.5}
FRAME = pd.DataFrame({"step": SCORES.keys(), "accuracy": SCORES.values()})


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "scores.csv"


@pytest.mark.parametrize(
    "options",
    [
        {"index": False},
        {},
        {"index": False, "sep": ";", "decimal": ","},
        {"index": False, "sep": "\t", "encoding": "utf-16"},
        {"index": False, "encoding": "utf-8-sig", "lineterminator": "\r\n"},
        {"index": False, "quoting": csv.QUOTE_ALL, "decimal": ","},
        {"index": False, "float_format": "%.18e"},
    ],
    ids=str,
)
def test_what_pandas_writes(path, options):
    FRAME.to_csv(path, **options)
    assert read_accuracy(path) == SCORES


def test_steps_among_missing_ones_are_floats(path):
    """As of a frame that held nan when it was joined."""
    FRAME.astype({"step": float}).to_csv(path, index=False)
    assert "10.0,0.375" in path.read_text()
    assert read_accuracy(path) == SCORES


def test_what_numpy_writes(path):
    np.savetxt(path, FRAME.to_numpy(), delimiter=",", header="step,accuracy", comments="")
    assert "1.000000000000000000e+01,3.75" in path.read_text()
    assert read_accuracy(path) == SCORES


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("step,accuracy\n0,0.25\n10,0.375\n20,0.5", "utf-8"),
        ("\n Step , Accuracy \n\n0 , 0.25\n10,\t0.375\n\n20,0.5\n\n", "utf-8"),
        ("step,accuracy,,\n0,0.25,,\n10,0.375,,\n20,0.5,,\n,,,\n,,,\n", "utf-8"),
        ("step;accuracy\r\n0;25%\r\n10;37,5 %\r\n20;50%\r\n", "utf-8-sig"),
        ("sep=;\nstep;accuracy\n0;0,25\n10;0,375\n20;0,5\n", "utf-16"),
        ('step,accuracy\n0,"0,25"\n"10","0,375"\n20,"0,5"\n', "utf-8"),
        ("step,accuracy\r0,0.25\r10,0.375\r20,0.5\r", "utf-8"),
        ("accuracy,note,step\n.25,a,0\n0.375,\"b, c\",10\n5e-1,größe,20\n", "utf-8"),
        ("step,accuracy,eval_accuracy\n20,0.5,1\n0,0.25,1\n10,0.375,1\n", "utf-8"),
        (
            '"Step","a7 - eval_accuracy","a7 - eval_accuracy__MIN","a7 - eval_accuracy__MAX"\n'
            '"0","0.25","0.25","0.25"\n"10","0.375","0.3","0.4"\n"20","0.5","0.5","0.5"\n',
            "utf-8",
        ),
        (
            '"train/global_step","lr 1e-5 - low - eval/accuracy","lr 1e-5 - low - _step"\n'
            "0,0.25,1\n10,0.375,2\n20,0.5,3\n",
            "utf-8",
        ),
    ],
)  # fmt: skip
def test_what_people_spreadsheets_and_wandb_write(path, text, encoding):
    path.write_bytes(text.encode(encoding))
    assert read_accuracy(path) == SCORES
    assert list(read_accuracy(path)) == sorted(SCORES)


@pytest.mark.parametrize("cell", ["0", "1", "0%", "100%", "1.0", "0,0", "1,000"])
def test_the_ends_of_the_range_are_accuracies(path, cell):
    path.write_text(f"step;accuracy\n5;{cell}\n")
    assert read_accuracy(path)[5] in (0.0, 1.0)


def test_the_rows_of_an_error_are_the_lines_of_the_file(path):
    path.write_text('step,accuracy,note\n0,0.2,"two\nlines"\n\n10,x,\n')
    with pytest.raises(TableError, match=r"scores\.csv: row 5: found accuracy x, expected a share"):
        read_accuracy(path)


@pytest.mark.parametrize(
    "scores",
    [
        {20: 0.5, 0: 0.25, 10: 0.375},
        {0.0: 0.25, 10.0: 0.375, 20.0: 0.5},
        {"0": "0.25", "10": "0.375", "20": ".5"},
        {np.int64(s): np.float64(a) for s, a in SCORES.items()},
        pd.Series(SCORES),
    ],
    ids=lambda scores: type(scores).__name__,
)
def test_mappings(scores):
    assert accuracy_of(scores) == SCORES
    assert list(accuracy_of(scores)) == sorted(SCORES)


@pytest.mark.parametrize(
    ("scores", "line"),
    [
        ({10: float("nan")}, "scores: step 10: found accuracy nan, expected a share from 0 to 1"),
        ({10: 45}, "found accuracy 45, expected .*; if it is percent, write 0.45 or 45%"),
        ({10: -0.1}, "found accuracy -0.1"),
        ({10: 10**400}, "found accuracy 10+, expected"),
        ({10**400: 0.1}, "found step 10+, expected a whole number"),
        ({10: None}, "found accuracy None"),
        ({10: True}, "found accuracy True"),
        ({True: 0.1}, "found step True, expected a whole number"),
        ({10.5: 0.1}, r"found step 10\.5"),
        ({-10: 0.1}, "found step -10"),
        ({float("nan"): 0.1}, "found step nan"),
        ({float("inf"): 0.1}, "found step inf"),
        (
            {10**30: 0.1},
            "found step 10+, expected a whole number, 0 or more, at most 1000000000000",
        ),
        ({10: 0.1, "10": 0.2}, "scores: step '10': found step 10 again, after step 10"),
        ({"ten": 0.1}, "scores: step 'ten': found step ten"),
        ([0.1, 0.2], "scores: found list, expected a mapping"),
    ],
)
def test_mappings_go_through_the_same_checks(scores, line):
    with pytest.raises(TableError, match=line) as error:
        accuracy_of(scores)
    assert "\n" not in str(error.value)


def test_a_run_s_scores_may_be_of_checkpoints_that_are_not_taken(trajectory):
    """Of the base, and of those that `steps` leaves out; not of what no checkpoint is."""
    some = Trajectory.open(trajectory.base, trajectory.pattern, trajectory.scores, steps=[10, 20])
    assert some.accuracy == trajectory.accuracy
    folders = dict(some.checkpoints)
    with pytest.raises(TableError, match=r"found step 35, expected 0 or the step .*\(10, 20\)"):
        Trajectory.open(trajectory.base, folders, trajectory.scores)
    with pytest.raises(TableError, match="found step 12, expected 0 or the step of a checkpoint"):
        Trajectory.open(trajectory.base, trajectory.pattern, {12: 0.5})
