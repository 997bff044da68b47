"""The report's numbers against hand formulas, on a small results tree."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from alpharl.errors import EvaluationError, StudyError
from alpharl.report import tables, write_report
from alpharl.report.sections.rank import rank_tables, variant_label
from alpharl.report.statistics import difference, gain_recovery, retention
from alpharl.spectra.depth import Depth
from alpharl.study.config import load_study, parse_study
from alpharl.study.plan import Plan
from alpharl.variants.recipes import Recipe
from alpharl.verbs.outputs import write_table
from tests.unit.reports import CONFIG, LAST, QUESTIONS, REASON, Tree, row_of, tree

__all__ = ["tree"]


def test_recovery_follows_the_definitions(tree: Tree) -> None:
    row = row_of(tree.table("rank"), run="grpo", variant=f"rank-1@{LAST}")
    base, full = (tree.correct["grpo", "test", f"step-{s}"] for s in (0, LAST))
    rank = tree.correct["grpo", "test", f"rank-1@{LAST}"]
    gain = full.mean() - base.mean()
    recovered = (rank.mean() - base.mean()) / gain
    assert row.accuracy == pytest.approx(rank.mean())
    assert row.retention == pytest.approx(rank.mean() / full.mean(), rel=1e-5)
    assert row.gain_recovery == pytest.approx(recovered, rel=1e-5)
    # Delta method on the paired outcomes: var(N/D) = (vN − 2 r cov(N, D) + r² vD) / D².
    cov = np.cov(rank - base, full - base) / QUESTIONS
    variance = cov[0, 0] - 2 * recovered * cov[0, 1] + recovered**2 * cov[1, 1]
    assert row.gain_recovery_se == pytest.approx(np.sqrt(variance) / gain, rel=1e-5)
    delta = rank - full
    assert row.difference == pytest.approx(delta.mean(), rel=1e-5)
    assert row.difference_se == pytest.approx(delta.std(ddof=1) / np.sqrt(QUESTIONS), rel=1e-5)
    assert row.difference_high == pytest.approx(row.difference + 1.96 * row.difference_se, rel=1e-4)


def test_a_study_may_be_given_as_its_file(tree: Tree) -> None:
    page = write_report(tree.study)
    before = page.read_bytes()
    assert write_report(str(tree.root / "study.yaml")) == page
    assert page.read_bytes() == before
    with pytest.raises(StudyError, match=r"nowhere\.yaml: no such study file"):
        write_report(Path("nowhere.yaml"))
    with pytest.raises(StudyError, match=r"report: cannot be read \(Is a directory\)"):
        load_study(str(tree.root / "report"))


def test_variants_stand_beside_their_random_controls(tree: Tree) -> None:
    frame = tree.table("rank")
    mine = frame[frame["run"] == "grpo"]["variant"].tolist()
    assert mine.index(f"random-1@{LAST}") == mine.index(f"rank-1@{LAST}") + 1
    row = row_of(frame, run="grpo", variant=f"rank-1@{LAST}")
    assert row.control == f"random-1@{LAST}"
    one, other = (tree.correct["grpo", "test", name] for name in (row.variant, row.control))
    delta = one - other
    assert row.control_difference == pytest.approx(delta.mean(), rel=1e-5)
    se = delta.std(ddof=1) / np.sqrt(QUESTIONS)
    assert row.control_difference_low == pytest.approx(delta.mean() - 1.96 * se, rel=1e-4)
    assert np.isnan(row_of(frame, run="grpo", variant=row.control).control_difference)
    (table, *_) = rank_tables(frame[frame["run"] == "grpo"])
    at = [column.heading for column in table.columns].index("difference to control [95 %]")
    cell = next(cells[at] for cells in table.rows if cells[0] == tables.Cell("rank-1"))
    assert tables.Cell("rank-1", "at step 12") in [cells[0] for cells in table.rows]
    assert cell.note == "random rank-1"
    assert cell.text.startswith(f"▲ +{delta.mean():.3f} [")


def test_early_checkpoints_are_named_by_step_and_kept_out_of_the_summary(tree: Tree) -> None:
    frame = tree.table("rank")
    assert row_of(frame, run="grpo", variant="rank-1@12").label == "rank-1 at step 12"
    late = row_of(frame, run="grpo", variant=f"rank-1@{LAST}")
    assert late.label == "rank-1"
    page = (tree.root / "report" / "index.html").read_text()
    assert f"Rank-1 has gain recovery {late.gain_recovery:.2f}" in page
    assert page.count("Rank-1 has gain recovery") == 2, "one sentence per run"


@pytest.mark.parametrize(
    ("recipe", "label"),
    [
        (Recipe("rank", Depth(4)), "rank-4"),
        (Recipe("rank", Depth(4), 0.5), "rank-4, times 0.5"),
        (Recipe("random", Depth(4), 0.5), "random rank-4, times 0.5"),
        (Recipe("random-unscaled", Depth(1)), "random rank-1, unscaled"),
        (Recipe("component", Depth(2)), "component 2 alone"),
        (Recipe("rank", Depth(percent_components=1)), "rank-1 %"),
        (Recipe("random", Depth(percent_parameters=2.5)), "random rank-2.5 % of parameters"),
        (Recipe("rank", Depth(1), rest=True), "rank-1, with rest"),
        (Recipe("rest-only", Depth(), rest=True), "rest only"),
    ],
)
def test_variants_in_words(recipe: Recipe, label: str) -> None:
    assert variant_label(recipe) == label


def test_forecasts_are_compared_with_the_window_s_last_checkpoint(tree: Tree) -> None:
    row = row_of(tree.table("forecasts"), run="grpo", label="expo", window=0.5)
    delta = tree.correct["grpo", "test", "expo@0.5"] - tree.correct["grpo", "test", "step-30"]
    assert (row.through, row.target_step, row.steps_saved) == (30, LAST, 30)
    assert row.difference == pytest.approx(delta.mean(), rel=1e-5)
    assert row.difference_se == pytest.approx(delta.std(ddof=1) / np.sqrt(QUESTIONS), rel=1e-5)


def test_forecast_weights_stand_beside_the_trained_ones(tree: Tree) -> None:
    """The row over all matrices; nothing for a forecast without weights."""
    frame, page = tree.table("forecasts"), (tree.root / "report" / "index.html").read_text()
    row = row_of(frame, run="grpo-own", label="relex", window=0.2)
    found = (row.truth_cosine, row.truth_norm_ratio, row.truth_relative_error)
    assert found == pytest.approx((0.72, 1.26, 0.7))
    undefined = row_of(frame, run="grpo", label="alpharl-paper", window=0.2)
    assert math.isnan(undefined.truth_relative_error)
    assert page.count("cosine 0.72, norm 1.26") == len(frame) - 2


def test_amplitudes_stand_apart_from_the_comparison(tree: Tree, tmp_path: Path) -> None:
    made = Tree(tmp_path, forecast={"amplitudes": [0.5, 2]})
    page = write_report(made.study).read_text()
    # The tables list forecasts as predicted, and count those alone.
    keys = ["run", "label", "window"]
    assert made.table("forecasts")[keys].equals(tree.table("forecasts")[keys])
    assert "10 forecasts were compared" in page
    frame = made.table("amplitudes")
    assert len(frame) == 3 * len(made.table("forecasts"))
    row = row_of(frame, run="grpo", label="expo", window=0.5, amplitude=2.0)
    correct = made.correct["grpo", "test", "expo@0.5x2"]
    assert (row.norm_ratio, row.accuracy) == (3.0, pytest.approx(correct.mean()))
    assert row.stderr == pytest.approx(correct.std(ddof=1) / np.sqrt(QUESTIONS), rel=1e-5)
    delta = correct - made.correct["grpo", "test", "step-30"]
    assert row.difference == pytest.approx(delta.mean(), rel=1e-5)
    undefined = frame[frame["accuracy"].isna()]
    assert set(undefined["label"]) == {"alpharl-paper"} and len(undefined) == 6
    assert "Accuracy against amplitude" in page
    assert (made.root / "report" / "figures" / "amplitudes.svg").is_file()


def test_without_amplitudes_there_is_no_such_figure(tree: Tree) -> None:
    assert "Accuracy against amplitude" not in (tree.root / "report" / "index.html").read_text()
    assert not (tree.root / "report" / "tables" / "amplitudes.csv").exists()


def test_a_target_that_was_not_trained_has_no_weights_to_compare(tmp_path: Path) -> None:
    made = Tree(tmp_path)
    forecast = {**CONFIG["forecast"], "target_multiple": 2.1}
    for run in made.study.runs:
        Path(made.plan.paths.truth(run)).unlink()
    study = parse_study({**CONFIG, "results": str(tmp_path), "forecast": forecast})
    assert Plan(study).known("grpo") == []
    write_report(study)
    assert made.table("forecasts")["truth_cosine"].isna().all()


def test_an_accuracy_as_target_is_said_and_its_step_is_the_fit_s(tmp_path: Path) -> None:
    made = Tree(tmp_path, forecast={"target_accuracy": 0.9})
    page = write_report(made.study).read_text()
    assert "the model whose validation accuracy is 0.9." in page
    frame = made.table("forecasts")
    late = row_of(frame, run="grpo", label="alpharl-paper", window=0.5)
    assert (late.target_step, late.steps_saved) == (45, 15)
    assert late.seconds_training == pytest.approx(300 * 15 / 60)
    assert json.loads(late.options) == {"target_accuracy": 0.9}
    # The step of any forecast is read off validation scores, so they are paid for.
    late = row_of(frame, run="grpo", label="relex", window=0.5)
    assert late.seconds_validation == pytest.approx(44 * 6 / 11)
    early = row_of(frame, run="grpo", label="expo", window=0.2)
    assert np.isnan(early[["target_step", "steps_saved", "seconds_saved"]].astype(float)).all()
    assert not np.isnan(early.accuracy)
    assert frame["truth_cosine"].isna().all()
    assert "nan" not in re.findall(r">([^<]*)<", page)
    # Also where no window reaches it.
    for run in made.study.runs:
        for forecast in made.plan.forecasts(run):
            path = Path(f"{made.plan.paths.forecast(run, forecast.name)}/variant.json")
            made.write(path, {**json.loads(path.read_text()), "target_step": None})
    page = write_report(made.study).read_text()
    assert made.table("forecasts")["steps_saved"].isna().all()
    assert "nan" not in re.findall(r">([^<]*)<", page)


def test_standard_error_of_gain_recovery_matches_a_bootstrap() -> None:
    rng = np.random.default_rng(1)
    hard = rng.random(500)
    base, variant, full = ((hard < level).astype(float) for level in (0.4, 0.7, 0.95))
    flips = rng.random((3, 500)) < 0.1
    base, variant, full = (
        np.where(f, 1 - x, x) for f, x in zip(flips, (base, variant, full), strict=True)
    )
    draws = []
    for _ in range(4000):
        i = rng.integers(0, 500, 500)
        draws.append((variant[i].mean() - base[i].mean()) / (full[i].mean() - base[i].mean()))
    assert gain_recovery(variant, base, full).se == pytest.approx(np.std(draws), rel=0.08)


def test_ratios_to_nothing_are_undefined() -> None:
    nothing, some = np.zeros(50), np.tile([0.0, 1.0], 25)
    assert np.isnan(retention(some, nothing).value)
    assert np.isnan(gain_recovery(some, some, some).value)
    assert difference(some, some).low == 0


def test_seconds_saved_count_what_the_method_needs(tree: Tree) -> None:
    frame = tree.table("forecasts")
    saved = {
        label: row_of(frame, run="grpo", label=label, window=0.5).seconds_saved
        for label in ("last", "relex", "alpharl-paper")
    }
    training = 300 * 30 / 60
    assert saved["last"] == pytest.approx(training - 1.5)
    assert saved["relex"] == pytest.approx(training - 20 * 5 / 10 - 1.5)
    factors, validation = 10 * 2.0 * 5 / 10, 44 * 6 / 11
    assert saved["alpharl-paper"] == pytest.approx(training - factors - validation - 1.5)
    own = frame[frame["run"] == "grpo-own"]
    assert own["seconds_saved"].isna().all()


def test_cost_is_summed_per_stage(tree: Tree) -> None:
    row = row_of(tree.table("cost_stages"), stage="factors")
    assert (row.jobs, row.seconds, row.cpu_seconds, row.memory_mb) == (20, 40, 80, 512.5)
    shared = tree.table("cost_runs")
    assert row_of(shared[shared["run"].isna()], stage="pretrain").seconds == 130


def test_page_is_self_contained(tree: Tree) -> None:
    page = (tree.root / "report" / "index.html").read_text()
    assert not re.search(r"""(?:src|href|action)\s*=\s*["']?\s*(?:https?:)?//""", page)
    assert not re.search(r"""url\(\s*["']?\s*(?:https?:)?//|@import|<script""", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {reference for reference in re.findall(r'href="#([^"]+)"', page)} <= set(ids)


def test_what_results_say_is_text_on_the_page(tmp_path: Path) -> None:
    """A result may come from another machine: what it says must not run in who reads the report."""
    made, code = Tree(tmp_path), "<img src=x onerror=alert(1)>"
    for path in made.root.rglob("scores/test/*.json"):
        score = json.loads(path.read_text())
        said = {"versions": {"torch": code}, "seed_note": code, "dtype": code}
        made.write(path, {**score, **said})
    for path in made.root.rglob("variant.json"):
        variant = json.loads(path.read_text())
        if variant["undefined"]:
            made.write(path, {**variant, "undefined": code})
    page = write_report(made.study).read_text()
    assert "&lt;img src=x onerror" in page
    assert "<img src=x" not in page


def test_page_says_what_matters(tree: Tree) -> None:
    page = (tree.root / "report" / "index.html").read_text()
    assert "not what large models do" in page
    assert f"alpharl-paper at window 0.2 is undefined: {REASON}." in page
    assert "nan" not in re.findall(r">([^<]*)<", page)
    assert page.count("retention\u00a0±") == page.count("gain\u00a0recovery\u00a0±") == 4
    assert "a random rank-1 update of the same norm has gain recovery" in page
    # 2 runs, 2 windows, 3 methods beside `last`; one of them is undefined at one window.
    assert "10 forecasts were compared" in page


def test_study_is_written_complete_and_reads_back(tree: Tree) -> None:
    text = (tree.root / "study.yaml").read_text()
    assert "batch_size: 64" in text
    assert parse_study(yaml.safe_load(text)) == tree.study


def test_same_input_gives_the_same_bytes(tree: Tree) -> None:
    files = [p for p in (tree.root / "report").rglob("*") if p.is_file()]
    assert not [p for p in files if p.name.startswith(".")]
    before = {path: path.read_bytes() for path in files}
    write_report(tree.study)
    assert {path: path.read_bytes() for path in files} == before


def test_no_gain_leaves_gain_recovery_undefined(tmp_path: Path) -> None:
    flat = Tree(tmp_path, no_gain="grpo")
    page = write_report(flat.study).read_text()
    frame = flat.table("rank")
    assert frame[frame["run"] == "grpo"]["gain_recovery"].isna().all()
    assert "undefined (no gain)" in page and "no gain beyond error" in page


@pytest.mark.parametrize(
    "name",
    [
        "runs/grpo/scores/test/rank-1@60.json",
        "runs/grpo/factors/step-6/shard-0.safetensors",
        "runs/grpo-own/dynamics/modules.parquet",
        "runs/grpo-own/dynamics/pca.csv",
        "runs/grpo/measures/floor.parquet",
        "runs/grpo-own/measures/sparsity.parquet",
        "runs/grpo/truth.parquet",
        "runs/grpo/forecasts/relex@0.5/variant.json",
    ],
)
def test_a_missing_file_is_one_line_that_names_it(tmp_path: Path, name: str) -> None:
    broken = Tree(tmp_path)
    (broken.root / name).unlink()
    with pytest.raises(EvaluationError) as caught:
        write_report(broken.study)
    assert name in str(caught.value) and "\n" not in str(caught.value)
    assert not (broken.root / "report").exists()


def test_other_questions_are_refused(tmp_path: Path) -> None:
    broken = Tree(tmp_path)
    path = Path(broken.plan.paths.score("grpo", "test", "expo@0.5"))
    score = json.loads(path.read_text())
    broken.write(path, {**score, "question_ids": score["question_ids"][::-1]})
    with pytest.raises(EvaluationError, match="its questions differ from those of step-0"):
        write_report(broken.study)


def test_a_bare_study_still_has_a_report(tmp_path: Path) -> None:
    made = Tree(tmp_path)
    for path in (made.root / "benchmarks").rglob("*.tsv"):
        path.unlink()
    for run in made.study.runs:
        write_table(pd.DataFrame(), Path(made.plan.paths.dynamics(run)))
    nothing = {"ranks": [], "unscaled": [], "without": [], "full_update": False}
    bare = {**CONFIG, "results": str(tmp_path), "forecast": {}, "rank": nothing}
    page = write_report(parse_study(bare)).read_text()
    assert "makes no forecasts" in page and "Nothing was measured" in page
