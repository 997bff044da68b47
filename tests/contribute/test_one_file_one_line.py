"""A forecaster, a measure, an engine, a task, an algorithm, a section: one file and one line each.

Each is added to a scratch copy of the repository as CONTRIBUTING.md says, and the copy then runs a
small study with them.
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


@dataclass(frozen=True)
class Recipe:
    """What CONTRIBUTING.md says to do for one kind of contribution."""

    example: str
    """File below `tests/contribute/added/`."""
    file: str
    """Where it goes."""
    line: str
    registry: str


RECIPES = [
    Recipe(*found)
    for found in re.findall(
        r"Copy `tests/contribute/added/(\S+)` to `(\S+)`.*?Add the line `(.+?)` to `(\S+)`\.",
        (REPO / "CONTRIBUTING.md").read_text(),
        re.DOTALL,
    )
]
MINI = yaml.safe_load((REPO / "tests/workflow/mini.yaml").read_text())
DIGITS = {"task": "digit_sum", "limit": 40}
STUDY = MINI | {
    "study": "scratch",
    "bases": {"tiny": {"pretrain": MINI["bases"]["tiny"]["pretrain"] | {"problem": "digit_sum",
                                                                       "steps": 100}}},
    "runs": {"own": {"base": "tiny", "train": {"algorithm": "own-answers", "problem": "digit_sum",
                                               "steps": 6, "save_every": 2,
                                               "learning_rate": 3.0e-4,
                                               "args": {"temperature": 0.8}}}},
    "suites": {
        "validation": {"role": "validation", "tasks": [DIGITS | {"split": "validation"}],
                       "max_new_tokens": 3},
        "test": {"role": "test", "tasks": [DIGITS | {"split": "test"},
                                           {"task": "word_sums", "data": "rows.jsonl"}],
                 "max_new_tokens": 3},
    },
    "rank": {"ranks": [1], "unscaled": [], "without": [], "full_update": False},
    "measures": {"kurtosis": {"bessel": True}, "sparsity": {}},
    "forecast": {"windows": [0.7], "methods": {"last": {}, "expo": {}, "relex": {},
                                               "window-mean": {"factor": 1.5}}},
    "evaluation": {"engine": "plain", "thoroughness": 0.9, "models_per_job": 100},
    "tokens": {},
}  # fmt: skip
ROWS = [{"question": f"what is 2 plus {i}?", "answer": str(2 + i)} for i in range(3)]


@dataclass(frozen=True)
class Copy:
    """A copy of the repository in a folder of its own."""

    folder: Path

    def run(self, *command: str | Path, status: int = 0) -> str:
        """What a command prints; its code is the copy's."""
        done = subprocess.run(
            list(map(str, command)), cwd=self.folder, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=os.environ | {
                "PYTHONPATH": str(self.folder), "COLUMNS": "200",
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
        )  # fmt: skip
        assert done.returncode == status, done.stdout
        return done.stdout

    def alpharl(self, *arguments: str | Path, status: int = 0) -> str:
        """What a verb prints."""
        return self.run(sys.executable, "-m", "alpharl.cli", *arguments, status=status)

    def snakemake(self, *arguments: str) -> str:
        """What the workflow prints."""
        command = ["-m", "snakemake", "--configfile", "study.yaml", "--cores", "2", *arguments]
        return self.run(sys.executable, *command)

    def table(self, name: str) -> pd.DataFrame:
        """A table of the report."""
        return pd.read_csv(self.folder / f"results/scratch/report/tables/{name}.csv")


def add_line(registry: Path, line: str) -> None:
    """Put a line at the end of a registry, the first list or mapping of its file."""
    lines = registry.read_text().splitlines(keepends=True)
    end = next(i for i, text in enumerate(lines) if text[0] in "]}")
    registry.write_text("".join([*lines[:end], f"    {line}\n", *lines[end:]]))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The repository with the files and lines, and nothing else changed."""
    folder = tmp_path_factory.mktemp("scratch") / "alpharl"
    for part in ("alpharl", "workflow", "profiles", "config"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPO / part, folder / part, ignore=ignored)
    scratch = Copy(folder)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "before"]):
        scratch.run(*git, *arguments)
    for recipe in RECIPES:
        (folder / recipe.file).parent.mkdir(exist_ok=True)  # a data set has a folder of its own
        shutil.copy(ADDED / recipe.example, folder / recipe.file)
        add_line(folder / recipe.registry, recipe.line)
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    return scratch


@pytest.fixture(scope="module")
def finished(copy: Copy) -> Copy:
    """The copy after a run of the study."""
    copy.snakemake()
    return copy


def scores(copy: Copy, variant: str) -> dict[str, Any]:
    """A result of the study on its test suite."""
    path = copy.folder / f"results/scratch/runs/own/scores/test/{variant}.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_contributing_has_a_recipe_for_each_example():
    assert sorted(recipe.example for recipe in RECIPES) == sorted(
        path.name for path in ADDED.iterdir() if path.is_file()
    )
    assert len({recipe.registry for recipe in RECIPES}) == len(RECIPES) == 7


def test_the_edits_are_one_new_file_and_one_line_each(copy):
    changed = copy.run("git", "diff", "--numstat").split()
    registries = sorted(recipe.registry for recipe in RECIPES)
    assert changed == [word for path in registries for word in ("1", "0", path)]
    new = copy.run("git", "ls-files", "--others", "--exclude=__pycache__").split()
    files = [recipe.file for recipe in RECIPES]
    assert sorted(new) == sorted([*files, "study.yaml", "rows.jsonl"])


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
    assert "own-answers" in definitions["TrainSpec"]["properties"]["algorithm"]["enum"]
    assert "digit_sum" in definitions["PretrainSpec"]["properties"]["problem"]["enum"]


def test_they_are_in_the_tables_of_the_page(copy):
    page = copy.folder / "page.md"
    shutil.copy(copy.folder / "config/README.md", page)
    copy.run(sys.executable, "-m", "alpharl.study.tables", page)
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    page.unlink()
    assert "| `window-mean` | `factor` | `1.0` | Multiplies the mean. |" in rows
    assert "| `kurtosis` | `bessel` | `false` | An option without effect. |" in rows
    assert "| `plain` | Greedy decoding in a loop. |" in rows
    assert "| `thoroughness` | `0.5` | `plain` | An option without effect. |" in rows
    learns = "Imitation of the base's own right answers."
    assert any(row.startswith(f"| `own-answers` | {learns} | `trl.SFTConfig`") for row in rows)


def test_they_are_in_verbs_and_help(copy):
    methods = copy.alpharl("methods")
    assert "window-mean\n  Base + the mean" in methods
    assert "options: factor" in methods
    assert "kurtosis" in copy.alpharl("measure", "--help")
    evaluate = copy.alpharl("evaluate", "--help")
    assert "plain" in evaluate and "--thoroughness" in evaluate
    tasks = copy.alpharl("tasks")
    assert "digit_sum\n  source: made here" in tasks
    assert "word_sums\n  source: someone/word-sums on the Hub\n  splits: test" in tasks


def test_they_are_in_what_a_refusal_names(copy):
    wrong = json.loads(json.dumps(STUDY))
    wrong["runs"]["own"]["train"]["algorithm"] = "own-answer"
    wrong["bases"]["tiny"]["pretrain"]["problem"] = "digit_sums"
    (copy.folder / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    refused = copy.alpharl("check", "wrong.yaml", status=1)
    (copy.folder / "wrong.yaml").unlink()
    assert re.search(r"train.algorithm: Input should be 'grpo'.* or 'own-answers'", refused)
    assert "pretrain.problem: Input should be 'addition' or 'digit_sum'" in refused


def test_they_are_in_rules(copy):
    planned = copy.snakemake("-n", "-p", "--quiet", "host")
    assert "measures/kurtosis.parquet" in planned and "--option=kurtosis.bessel=True" in planned
    assert "window-mean@0.7/variant.json" in planned
    assert "--engine=plain" in planned and "--thoroughness=0.9" in planned
    assert '"algorithm":"own-answers","problem":"digit_sum"' in planned
    assert "alpharl fetch --task word_sums" in planned


def test_the_algorithm_trains_on_the_task(finished):
    run = finished.folder / "results/scratch/runs/own"
    training = pd.read_csv(run / "checkpoints/training.csv")
    assert training.step.tolist() == [1, 2, 3, 4, 5, 6] and training.loss.notna().all()
    page = (finished.folder / "results/scratch/report/index.html").read_text()
    assert "trained here, own-answers" in page
    for variant in ("step-0", "step-6"):
        assert 0 < scores(finished, variant)["tasks"]["digit_sum"]["accuracy"] < 1


def test_both_tasks_are_asked(finished):
    tasks = scores(finished, "step-0")["tasks"]
    assert {name: task["n"] for name, task in tasks.items()} == {"digit_sum": 40, "word_sums": 3}


def test_the_engine_scores_as_transformers_do(finished):
    """Every outcome of every model, greedy and in float32."""
    root = finished.folder / "results/scratch"
    names = ["step-0", "step-6", "rank-1@6", "window-mean@0.7"]
    folders = {"step-0": root / "bases/tiny/model", "step-6": root / "runs/own/checkpoints/step-6",
               "rank-1@6": root / "runs/own/rank/rank-1@6",
               "window-mean@0.7": root / "runs/own/forecasts/window-mean@0.7"}  # fmt: skip
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
    run = finished.folder / "results/scratch/runs/own/measures"
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
