"""A method, a measure, an engine and a section of the report: one file and one line each.

Each is added to a scratch copy of the repository, which then runs a small study with them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
ADDED = Path(__file__).parent / "added"
HOMES = {
    "window_mean": ("alpharl/forecasting", "WindowMean"),
    "kurtosis": ("alpharl/measures", "Kurtosis"),
    "plain": ("alpharl/evaluation/engines", "Plain"),
    "steps_seen": ("alpharl/report/sections", "StepsSeen"),
}
"""Folder that each file goes to, and the class in it."""
REGISTRIES = {
    "window_mean": "alpharl/forecasting/registry.py",
    "kurtosis": "alpharl/measures/registry.py",
    "plain": "alpharl/evaluation/engines/registry.py",
    "steps_seen": "alpharl/report/registry.py",
}
STUDY = yaml.safe_load((REPO / "tests/workflow/mini.yaml").read_text()) | {
    "study": "scratch",
    "runs": {"sft": {"base": "tiny", "train": {"algorithm": "sft", "steps": 6, "save_every": 2,
                                               "learning_rate": 3.0e-4}}},
    "rank": {"ranks": [1], "unscaled": [], "without": [], "full_update": False},
    "measures": {"kurtosis": {"bessel": True}, "sparsity": {}},
    "forecast": {"windows": [0.7], "methods": {"last": {}, "expo": {}, "relex": {},
                                               "window-mean": {"factor": 1.5}}},
    "evaluation": {"engine": "plain", "thoroughness": 0.9, "models_per_job": 100},
    "tokens": {},
}  # fmt: skip


@dataclass(frozen=True)
class Copy:
    """A copy of the repository in a folder of its own."""

    folder: Path

    def run(self, *command: str | Path) -> str:
        """What a command prints; its code is the copy's."""
        done = subprocess.run(
            list(map(str, command)), cwd=self.folder, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=os.environ | {
                "PYTHONPATH": str(self.folder), "COLUMNS": "200",
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    def alpharl(self, *arguments: str | Path) -> str:
        """What a verb prints."""
        return self.run(sys.executable, "-m", "alpharl.cli", *arguments)

    def snakemake(self, *arguments: str) -> str:
        """What the workflow prints."""
        command = ["-m", "snakemake", "--configfile", "study.yaml", "--cores", "2", *arguments]
        return self.run(sys.executable, *command)

    def table(self, name: str) -> pd.DataFrame:
        """A table of the report."""
        return pd.read_csv(self.folder / f"results/scratch/report/tables/{name}.csv")


def add_line(registry: Path, line: str) -> None:
    """Put a line behind the last place that the registry names."""
    lines = registry.read_text().splitlines(keepends=True)
    last = max(i for i, text in enumerate(lines) if re.fullmatch(r'    "\w+:\w+",\n', text))
    registry.write_text("".join([*lines[: last + 1], f"    {line}\n", *lines[last + 1 :]]))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The repository with the four files and lines, and nothing else changed."""
    folder = tmp_path_factory.mktemp("scratch") / "alpharl"
    for part in ("alpharl", "workflow", "profiles", "config"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPO / part, folder / part, ignore=ignored)
    scratch = Copy(folder)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "before"]):
        scratch.run(*git, *arguments)
    for name, (home, cls) in HOMES.items():
        shutil.copy(ADDED / f"{name}.py", folder / home)
        add_line(folder / REGISTRIES[name], f'"{name}:{cls}",')
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    return scratch


@pytest.fixture(scope="module")
def finished(copy: Copy) -> Copy:
    """The copy after a run of the study."""
    copy.snakemake()
    return copy


def scores(copy: Copy, variant: str) -> dict[str, Any]:
    """A result of the study on its test suite."""
    path = copy.folder / f"results/scratch/runs/sft/scores/test/{variant}.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_the_edits_are_one_new_file_and_one_line_each(copy):
    changed = copy.run("git", "diff", "--numstat").split()
    assert changed == [word for path in sorted(REGISTRIES.values()) for word in ("1", "0", path)]
    new = copy.run("git", "ls-files", "--others", "--exclude=__pycache__").split()
    files = [f"{home}/{name}.py" for name, (home, _) in HOMES.items()]
    assert sorted(new) == sorted([*files, "study.yaml"])


def test_they_are_in_the_schema_with_their_options(copy):
    copy.run(sys.executable, "-m", "alpharl.study.schema", "schema.json")
    definitions = json.loads((copy.folder / "schema.json").read_text())["$defs"]
    (copy.folder / "schema.json").unlink()
    assert (
        definitions["WindowMean"]["properties"]["factor"]["description"] == "Multiplies the mean."
    )
    assert "bessel" in definitions["Kurtosis"]["properties"]
    assert "kurtosis" in definitions["Measures"]["properties"]
    assert "thoroughness" in definitions["Plain"]["properties"]


def test_they_are_in_verbs_and_help(copy):
    methods = copy.alpharl("methods")
    assert "window-mean\n  Base + the mean" in methods
    assert "options: factor" in methods
    assert "kurtosis" in copy.alpharl("measure", "--help")
    evaluate = copy.alpharl("evaluate", "--help")
    assert "plain" in evaluate and "--thoroughness" in evaluate


def test_they_are_in_rules(copy):
    planned = copy.snakemake("-n", "-p", "--quiet", "host")
    assert "measures/kurtosis.parquet" in planned and "--option=kurtosis.bessel=True" in planned
    assert "window-mean@0.7/variant.json" in planned
    assert "--engine=plain" in planned and "--thoroughness=0.9" in planned


def test_the_engine_scores_as_transformers_do(finished):
    """Every outcome of every model, greedy and in float32."""
    root = finished.folder / "results/scratch"
    names = ["step-0", "step-6", "rank-1@6", "window-mean@0.7"]
    folders = {"step-0": root / "bases/tiny/model", "step-6": root / "runs/sft/checkpoints/step-6",
               "rank-1@6": root / "runs/sft/rank/rank-1@6",
               "window-mean@0.7": root / "runs/sft/forecasts/window-mean@0.7"}  # fmt: skip
    finished.alpharl(
        "evaluate", "--suite", root / "suites/test/suite.json", "--base", folders["step-0"],
        *(f"--variant={name}={folders[name]}" for name in names), "--out", "by-hf",
    )  # fmt: skip
    for name in names:
        by_hf = json.loads((finished.folder / f"by-hf/{name}.json").read_text())
        by_plain = scores(finished, name)
        assert by_plain["engine"] == "plain" and by_hf["engine"] == "hf"
        assert by_plain["correct"] == by_hf["correct"]
        assert by_plain["seed_note"] == "greedy answers have no seed"
    assert 0 < scores(finished, "step-6")["accuracy"] < 1


def test_the_forecaster_is_compared_with_the_others(finished):
    table = finished.table("forecasts").set_index("method")
    assert set(table.index) == {"last", "expo", "relex", "window-mean"}
    row = table.loc["window-mean"]
    assert json.loads(row.options) == {"factor": 1.5}
    assert row.accuracy == pytest.approx(scores(finished, "window-mean@0.7")["accuracy"], abs=1e-5)
    assert row.truth_relative_error > 0 and row.norm_ratio > 0 and row.difference_p >= 0
    page = (finished.folder / "results/scratch/report/index.html").read_text()
    assert re.search(r"<td[^>]*>window-mean<small>factor 1.5</small></td>", page)


def test_the_measure_is_in_table_and_report_next_to_its_null(finished):
    run = finished.folder / "results/scratch/runs/sft/measures"
    whole = pd.read_parquet(run / "kurtosis.parquet")
    assert set(whole.step) == {6} and len(whole) > 10
    assert sorted(path.stem for path in run.glob("*.csv")) == ["kurtosis", "sparsity"]
    (row,) = finished.table("kurtosis").to_dict("records")
    assert row["kurtosis"] == pytest.approx(whole["kurtosis"].mean(), rel=1e-5)
    # The excess kurtosis of n Gaussian numbers has variance 24 / n, about.
    assert abs(row["null_kurtosis"]) < 4 * (24 / whole.entries).sum() ** 0.5 / len(whole)
    page = (finished.folder / "results/scratch/report/index.html").read_text()
    assert "<h3>Tails of the updates</h3>" in page
    assert "their excess kurtosis would be near 0" in page
    assert f"<small>Gaussian {row['null_kurtosis']:.3f}</small>".replace("-", "−") in page


def test_the_section_is_on_the_page(finished):
    page = (finished.folder / "results/scratch/report/index.html").read_text()
    assert re.search(r'<a href="#steps_seen">\d+ Steps</a>', page)
    assert finished.table("steps_seen").steps.tolist() == [3]
