"""`evaluate` and `tokens` take all checkpoints of a run at once, and say what they wrote."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from tests.unit.suites import make_suite


@pytest.fixture
def place(golden, tmp_path, monkeypatch) -> Path:
    """A folder with a base, two checkpoints of its run, and a suite."""
    monkeypatch.chdir(tmp_path)
    Path("base").symlink_to(golden / "trajectory" / "base")
    for step in (12, 120):
        Path(f"checkpoint-{step}").symlink_to(golden / "trajectory" / f"step-{step}")
    make_suite(tmp_path / "suite", tasks=[{"task": "addition", "split": "test", "limit": 10}],
               max_new_tokens=9)  # fmt: skip
    return tmp_path


EVALUATE = [
    "evaluate", "--suite", "suite/suite.json", "--base", "base", "--variant", "base=base",
    "--variant", "step-{step}=checkpoint-{step}", "--out", "out",
]  # fmt: skip
TOKENS = [
    "tokens", "--suite", "suite/suite.json", "--base", "base", "--prefix", "2", "--out", "tables",
    "--writer", "step-{step}=out/step-{step}.answers.jsonl", "--reader",
    "step-{step}=checkpoint-{step}",
]  # fmt: skip


def rows(file: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(file).open()))


def test_checkpoints_of_a_pattern_are_scored_and_read(place, cli):
    result = cli(*EVALUATE, "--json")
    assert result.status == 0, result.err
    told = json.loads(result.out)
    assert [score["variant"] for score in told["scores"]] == ["base", "step-12", "step-120"]
    for score in told["scores"]:
        written = json.loads(Path(f"out/{score['variant']}.json").read_text())
        assert score == {name: written[name] for name in score}
        assert score["n"] == 10
    text = cli(*EVALUATE).out.splitlines()
    assert text[0] == "Scores on suite suite" and text[-1] == "results in out"
    assert [line.split()[0] for line in text[2:-1]] == ["base", "step-12", "step-120"]

    result = cli(*TOKENS, "--json")
    assert result.status == 0, result.err
    told = json.loads(result.out)
    assert told["written"] == ["tables/reading.csv", "tables/prefix.csv"]
    pairs = [(row["writer"], row["reader"]) for row in told["reading"]]
    assert pairs == [
        (writer, reader)
        for reader in ("base", "step-12", "step-120")
        for writer in ("step-12", "step-120")
    ]
    for rows_told, file in (("reading", "reading"), ("continued", "prefix")):
        texts = [{name: str(value) for name, value in row.items()} for row in told[rows_told]]
        assert texts == rows(f"tables/{file}.csv")


def test_names_of_variants_differ(place, cli):
    result = cli(*EVALUATE, "--variant", "base=checkpoint-12")
    assert "found 4 paths with 3 names, expected a name each" in result.error
    assert (
        "found 'checkpoint-12', expected NAME=checkpoint-12"
        in cli(*EVALUATE, "--variant", "checkpoint-12").error
    )
    assert not Path("out").exists()
