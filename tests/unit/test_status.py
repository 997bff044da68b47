"""`alpharl status`: what is there of a study, who works on it, and what failed."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest
import yaml
from alpharl.study.config import parse_study
from alpharl.study.plan import Plan
from alpharl.study.status import outputs

STUDY = {
    "study": "s",
    "bases": {"b": {"path": "base"}},
    "runs": {
        "long": {"base": "b", "checkpoints": "long/{step}", "steps": [10, 20, 30, 40]},
        "short": {"base": "b", "checkpoints": "short/{step}", "steps": [10]},
    },
    "suites": {
        role: {"role": role, "tasks": [{"task": "addition", "split": role}]}
        for role in ("validation", "test")
    },
    "spectra": {"shards": 2},
    "forecast": {"windows": [0.5], "methods": {"last": {}, "relex": {}}},
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(STUDY))
    return tmp_path


def make(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def counts(cli) -> dict[str, tuple[int, int]]:
    shown = cli("status", "s.yaml", "--json")
    assert shown.status == 0, shown.err
    return {row["stage"]: (row["done"], row["total"]) for row in json.loads(shown.out)["stages"]}


def test_what_is_there_is_counted(place, cli):
    plan = Plan(parse_study(STUDY))
    empty = counts(cli)
    assert {done for done, _ in empty.values()} == {0}
    assert (
        empty["manifest"][1] == 5 and empty["checkpoints"][1] == 2 and empty["factors"][1] == 2 * 5
    )
    assert empty["dynamics"][1] == 2 and empty["forecast"][1] == 2, "of the run that is a path"
    variants = 9 + 9 + 2  # rank-k models of both runs, forecasts of one
    assert empty["evaluate"][1] == 2 * (5 + 2) + variants, "checkpoints on both suites"
    assert empty["rank"][1] == 9 + 9
    make(*outputs(plan)["factors"][:3], plan.paths.report)
    some = counts(cli)
    assert some["factors"] == (3, 10) and some["report"] == (1, 1)
    assert some["gram"] == (0, 4)
    text = cli("status", "s.yaml").out
    assert f"{place}/results/s: no snakemake is at work" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["factors", "3", "10"] in rows and ["gram", "0", "4"] in rows


def test_before_the_start_it_says_where_it_looked_and_how_to_start(place, cli):
    out = cli("status", "s.yaml").out
    assert f"{place}/results/s: no such folder, so nothing is made yet" in out
    assert "snakemake --configfile s.yaml" in out
    assert not (place / "results").exists()


def test_a_report_of_no_results_is_one_line(place, cli):
    result = cli("report", "s.yaml")
    assert f"{place}/results/s: found no such folder, expected the results of study" in result.error
    assert "snakemake --configfile STUDY" in result.error
    assert len(result.err.splitlines()) == 1
    make("results/s/.lock")
    assert f"{place}/results/s/runs/long/measures/" in cli("report", "s.yaml").error


def test_a_workflow_at_work_is_seen(place, cli):
    make("results/s/.lock")
    assert "no snakemake is at work" in cli("status", "s.yaml").out
    with open("results/s/.lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "a snakemake is at work" in cli("status", "s.yaml").out


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("reading\nalpharl factors: error: x: found no shard\n", True),
        ("Traceback\n  File ...\ntorch.OutOfMemoryError: CUDA\n", True),
        ("Traceback\nKeyboardInterrupt\n", True),
        ("step 5/10\n", False),
        ("", False),
    ],
)
def test_logs_that_end_with_an_error_are_named(place, cli, text, named):
    make("results/s/logs/factors/long/step-10-0.log")
    Path("results/s/logs/factors/long/step-10-0.log").write_text("x" * 9000 + "\n" + text)
    out = cli("status", "s.yaml").out
    assert ("  logs/factors/long/step-10-0.log: " in out) == named
    failed = json.loads(cli("status", "s.yaml", "--json").out)["failed"]
    last = text.strip().rpartition("\n")[2]
    log = "logs/factors/long/step-10-0.log"
    assert failed == ([{"log": log, "line": last}] if named else [])
