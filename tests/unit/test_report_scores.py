"""What the report makes of scores: many comparisons, several samples and tasks, twins, engines."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from alpharl.report import write_report
from alpharl.report.collect import Results, collect
from alpharl.report.numbers import paired_difference
from alpharl.report.page import compute
from alpharl.report.score_columns import comparisons_note, difference_columns, with_holm
from alpharl.report.sections.accuracy import gains_table
from alpharl.report.sections.adapter_vs_merged import merged_table
from alpharl.report.sections.forecast import comparisons, forecast_tables
from alpharl.report.sections.notices import engine_warnings
from alpharl.report.sections.per_task import task_tables
from alpharl.report.sections.rank import rank_tables
from alpharl.report.sections.tokens import prefix_table
from alpharl.report.statistics import Estimate, difference, holm, p_value
from alpharl.report.tables import Table
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.reports import CONFIG, LAST, QUESTIONS, SEED_NOTE, Tree, row_of

SAMPLES = 4
SAMPLED = {
    "role": "test",
    "tasks": [{"task": "addition", "split": "test"}, {"task": "gsm8k", "max_new_tokens": 3000}],
    **{"temperature": 0.6, "top_p": 0.95, "samples": SAMPLES, "stop": ["Q:"]},
}
SMALL: dict[str, Any] = {
    "runs": {"grpo": {"base": "base", "train": {"steps": LAST, "save_every": 12}}},
    "forecast": {"windows": [0.5], "methods": {"last": {}, "expo": {}, "relex": {}}},
}
NAN = float("nan")


def words_of(page: Path) -> str:
    return " ".join(page.read_text().replace("\u00a0", " ").split())


def headings(table: Table) -> list[str]:
    return [column.heading.replace("\u00a0", " ") for column in table.columns]


def cells(table: Table, heading: str) -> list[str]:
    at = headings(table).index(heading)
    return [row[at].text for row in table.rows]


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A test suite of two tasks with four samples per question; variants of two checkpoints."""
    suites = {"validation": CONFIG["suites"]["validation"], "test": SAMPLED}
    tree = Tree(tmp_path_factory.mktemp("sampled"), **SMALL, suites=suites)
    write_report(tree.study)
    return tree


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """As in the demo: one task and one sample, variants of the last checkpoint."""
    tree = Tree(tmp_path_factory.mktemp("plain"), **SMALL, rank={"ranks": [1], "without": [1]})
    write_report(tree.study)
    return tree


@pytest.fixture
def results(plain: Tree) -> Results:
    return collect(plain.study)


# --- many comparisons ---


def test_holm_by_hand():
    """Sorted: 0.005 · 4, 0.01 · 3, 0.03 · 2, 0.04 · 1, which may not fall below the one before."""
    adjusted = holm(np.array([0.01, 0.04, NAN, 0.03, 0.005]))
    assert adjusted == pytest.approx([0.03, 0.06, NAN, 0.06, 0.02], nan_ok=True)
    assert holm(np.array([0.4, 0.6])) == pytest.approx([0.8, 0.8])
    assert holm(np.array([0.9, 0.7])) == pytest.approx([1, 1])
    assert holm(np.array([NAN])) == pytest.approx([NAN], nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closure_of_bonferroni(p):
    """A comparison's adjusted p is the largest Bonferroni p of any family that it belongs to."""
    families = [
        family
        for size in range(1, len(p) + 1)
        for family in itertools.combinations(range(len(p)), size)
    ]
    expected = [
        max(min(1, len(f) * min(p[j] for j in f)) for f in families if i in f)
        for i in range(len(p))
    ]
    assert holm(np.array(p)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "se", "p"),
    [
        (1.959964, 1, 0.05),
        (-1.644854, 1, 0.1),
        (0.2575829, 0.1, 0.01),
        (0, 0.3, 1),
        (0, 0, 1),
        (-0.1, 0, 0),
        (NAN, NAN, NAN),
        (0.5, NAN, NAN),
    ],
)
def test_p_follows_the_normal_table(value, se, p):
    assert p_value(Estimate(value, se)) == pytest.approx(p, abs=1e-6, nan_ok=True)


@given(st.floats(-1, 1), st.floats(1e-3, 1))
def test_p_is_below_5_percent_where_the_interval_excludes_0(value, se):
    found = Estimate(value, se)
    if abs(abs(value) / se - 1.96) > 1e-3:
        assert (p_value(found) < 0.05) == (found.low > 0 or found.high < 0)


def test_marks_tell_what_survives_the_table():
    """Three p of 0.001, 0.03 and 0.2 in one table, and the same 0.03 alone in another."""
    z = {0.001: 3.290527, 0.03: 2.170090, 0.2: 1.281552}
    rows = [
        {"table": name, "d": sign * z[p], "d_se": 1.0, "d_p": p}
        for name, sign, p in [("a", 1, 0.001), ("a", 1, 0.03), ("a", -1, 0.2), ("b", -1, 0.03)]
    ]
    frame = pd.DataFrame(rows)
    frame = frame.assign(d_low=frame["d"] - 1.96, d_high=frame["d"] + 1.96)
    found = with_holm(frame, ["d"], ["table"])
    assert found["d_holm"].tolist() == pytest.approx([0.003, 0.06, 0.2, 0.03])
    marks = [paired_difference(row, "d").split()[0] for row in found.itertuples()]
    assert marks[:2] == ["▲", "△"] and marks[2].startswith("−") and marks[3] == "▼"
    together = with_holm(frame, ["d"], [])
    assert [paired_difference(row, "d")[0] for row in together.itertuples()] == ["▲", "△", "−", "▽"]
    note = comparisons_note(found[found["table"] == "a"], ["d"])
    assert "Comparisons in this table: 3. By themselves 2 have" in note
    assert "(by chance alone about 0.2)" in note
    assert "1 survive Holm-Bonferroni over all 3" in note


def test_a_table_s_comparisons_are_adjusted_together(sampled: Tree) -> None:
    frame = sampled.table("rank")
    names = ["difference", "control_difference", "checkpoint_difference"]
    p = frame[[f"{name}_p" for name in names]].to_numpy()
    flat = p[~np.isnan(p)]
    adjusted = frame[[f"{name}_holm" for name in names]].to_numpy()
    for one, own in zip(flat, adjusted[~np.isnan(p)], strict=True):
        below = np.sort(flat)[: np.count_nonzero(flat <= one)]
        steps = below * (len(flat) - np.arange(len(below)))
        assert own == pytest.approx(min(1, steps.max()), rel=1e-4)
    (table,) = rank_tables(frame.fillna({"control": ""}))
    assert f"Comparisons in this table: {len(flat)}." in table.notes[0]
    assert f"Comparisons in this table: {len(flat)}." in words_of(
        sampled.root / "report" / "index.html"
    )


def test_forecasts_that_beat_last_are_counted_before_and_after_holm() -> None:
    """Two better, one worse, one neither, and `last`; 0.02 · 3 and 0.04 · 2 are above 0.05."""
    rows = [(0.001, 0.1, 0.3), (0.02, -0.4, -0.1), (0.04, 0.01, 0.2), (0.5, -0.1, 0.2)]
    rows.append((NAN, 0.0, 0.0))
    frame = pd.DataFrame(rows, columns=["difference_p", "difference_low", "difference_high"])
    assert comparisons(frame) == {
        **{"compared": 4, "better": 2, "worse": 1, "chance": "0.2"},
        **{"better_of_all": 1, "worse_of_all": 0},
    }


# --- paired differences ---


def test_forecasts_are_compared_with_last_and_with_the_full_run(sampled: Tree) -> None:
    frame = sampled.table("forecasts")
    correct = {name: sampled.correct["grpo", "test", name] for name in
               ("expo@0.5", "last@0.5", "step-24", f"step-{LAST}")}  # fmt: skip
    row = row_of(frame, label="expo")
    for name, reference in (("difference", "step-24"), ("full_difference", f"step-{LAST}")):
        delta = correct["expo@0.5"] - correct[reference]
        se = delta.std(ddof=1) / math.sqrt(QUESTIONS)
        assert row[name] == pytest.approx(delta.mean(), rel=1e-4)
        assert row[f"{name}_low"] == pytest.approx(delta.mean() - 1.96 * se, rel=1e-3)
        assert row[f"{name}_p"] == pytest.approx(
            math.erfc(abs(delta.mean() / se) / math.sqrt(2)), rel=1e-3
        )
    last = row_of(frame, label="last")
    assert math.isnan(last.difference_p), "last against itself is no comparison"
    assert last.full_difference == pytest.approx(
        (correct["last@0.5"] - correct[f"step-{LAST}"]).mean(), rel=1e-4
    )


def test_early_variants_are_compared_with_their_checkpoint(sampled: Tree, plain: Tree) -> None:
    frame = sampled.table("rank")
    row = row_of(frame, variant="rank-1@12")
    delta = (
        sampled.correct["grpo", "test", "rank-1@12"] - sampled.correct["grpo", "test", "step-12"]
    )
    assert row.checkpoint_difference == pytest.approx(delta.mean(), rel=1e-4)
    late = frame[frame["step"].isin([0, LAST])]
    assert late["checkpoint_difference"].isna().all(), "that is the difference to the full run"
    assert "checkpoint_difference" not in plain.table("rank")


def test_an_undefined_score_is_no_comparison(results: Results) -> None:
    full = results.scores["grpo", "test", f"step-{LAST}"]
    undefined = replace(full, correct_n=np.array([]))
    for score, reference in [(undefined, full), (full, None), (full, full)]:
        assert math.isnan(difference_columns("d", score, reference)["d_p"])
    twin = replace(full, variant="twin")
    assert difference_columns("d", twin, full)["d_p"] == 1


# --- several samples, several tasks ---


def test_several_samples_show_avg_pass_and_maj(sampled: Tree) -> None:
    path = Path(sampled.plan.paths.score("grpo", "test", f"rank-1@{LAST}"))
    score = json.loads(path.read_text())
    (table,) = rank_tables(sampled.table("rank").fillna({"control": ""}))
    shown = [f"{name}@{SAMPLES} ± se" for name in ("avg", "pass", "maj")]
    assert set(shown) <= set(headings(table)) and "accuracy ± se" not in headings(table)
    at = next(i for i, row in enumerate(table.rows) if row[0].text == "rank-1" and not row[0].note)
    for heading, (value, error) in zip(
        shown,
        [
            (score["accuracy"], score["stderr"]),
            (score["pass_at"]["4"], score["pass_at_stderr"]["4"]),
            (score["maj_at"]["4"], score["maj_at_stderr"]["4"]),
        ],
        strict=True,
    ):
        assert cells(table, heading)[at] == f"{value:.3f} ± {error:.3f}"
    rows = sampled.table("samples").query("variant == @score['variant']")
    found = {(row.measure, str(row.k)): row.value for row in rows.itertuples()}
    expected = {("pass_at", k): v for k, v in score["pass_at"].items()}
    expected |= {("maj_at", k): v for k, v in score["maj_at"].items()}
    assert found == pytest.approx(expected, rel=1e-5)
    page = words_of(sampled.root / "report" / "index.html")
    assert "200 <small>4 samples each</small>" in page.replace("200<", "200 <")
    assert "unbiased estimator, Chen et al. 2021" in page


def test_each_task_of_several_has_a_table(sampled: Tree) -> None:
    frame = sampled.table("tasks")
    assert set(frame["suite"]) == {"test"} and set(frame["task"]) == {"addition", "gsm8k"}
    correct = sampled.correct["grpo", "test", "expo@0.5"]
    for task, mine in (("addition", correct[:100]), ("gsm8k", correct[100:])):
        row = row_of(frame, task=task, variant="expo@0.5")
        assert (row.n, row.accuracy) == (100, pytest.approx(mine.mean()))
        assert row.stderr == pytest.approx(mine.std(ddof=1) / 10, rel=1e-4)
    assert row_of(frame, task="gsm8k", variant="step-24").kind == "checkpoint"
    shown = task_tables(frame.fillna({"where": ""}))
    assert [table.title for table in shown] == [
        f"test · {task} (100 questions)" for task in ("addition", "gsm8k")
    ]
    labels = cells(shown[0], "variant")
    assert (labels[0], labels[-1]) == ("base", "full run") and "expo" in labels
    assert f"avg@{SAMPLES} ± se" in headings(shown[0]) and "step 24" not in labels


def test_one_task_and_one_sample_add_nothing(plain: Tree) -> None:
    names = {path.stem for path in (plain.root / "report" / "tables").iterdir()}
    assert not names & {"tasks", "samples", "merged", "tokens_reading", "tokens_prefix"}
    for name in ("accuracy", "gains", "rank", "forecasts"):
        frame = plain.table(name)
        assert not [column for column in frame if "pass_at" in column or "maj_at" in column]
        assert not [column for column in frame if column != "undefined"
                    and frame[column].isna().all()]  # fmt: skip
    page = words_of(plain.root / "report" / "index.html")
    assert "pass@" not in page and "By task" not in page and "samples each" not in page
    assert "Adapter against merged" not in page and "Token by" not in page and "⚠" not in page
    assert "combinations of engine" not in page


def test_too_many_cut_answers_are_flagged(tmp_path: Path) -> None:
    tree = Tree(tmp_path, **SMALL)
    limit = tree.study.suites["test"].max_truncated
    shares = {f"rank-1@{LAST}": limit + 0.05, "expo@0.5": limit, f"step-{LAST}": limit + 0.1}
    for variant, share in shares.items():
        path = Path(tree.plan.paths.score("grpo", "test", variant))
        tree.write(path, {**json.loads(path.read_text()), "truncated": share})
    results = collect(tree.study)
    frames = compute(results)
    (recovery,) = rank_tables(frames["rank"])
    cut = dict(zip(cells(recovery, "variant"), cells(recovery, "cut off"), strict=True))
    assert (cut["base"], cut["rank-1"], cut["full run"]) == ("0.01", "⚠ 0.25", "⚠ 0.30")
    assert recovery.notes[-1].startswith("⚠ More answers were cut off")
    (forecasts,) = forecast_tables(frames["forecasts"])
    assert cells(forecasts, "cut off") == ["0.01", "0.20", "0.01"]
    assert not [note for note in forecasts.notes if "⚠" in note]
    gains = gains_table(frames["gains"])
    assert cells(gains, "cut off, of any checkpoint at most") == ["0.01", "⚠ 0.30"]


# --- adapters and their merged twins ---


def test_a_merged_twin_stands_beside_its_adapter(tmp_path: Path) -> None:
    tree = Tree(tmp_path, **SMALL, rank={"ranks": [1, 4], "merged": [1, 4]})
    for k, changed in ((1, 7), (4, 0)):
        names = (f"rank-{k}@{LAST}", f"rank-{k}-merged@{LAST}")
        adapter, twin = (tree.plan.paths.score("grpo", "test", name) for name in names)
        score = json.loads(Path(adapter).read_text())
        score["correct"] = [1 - c if i < changed else c for i, c in enumerate(score["correct"])]
        tree.write(twin, score)
    page = words_of(write_report(tree.study))
    frame = tree.table("merged")
    row = row_of(frame, adapter=f"rank-1@{LAST}")
    adapter_n = tree.correct["grpo", "test", f"rank-1@{LAST}"]
    merged_n = np.where(np.arange(QUESTIONS) < 7, 1 - adapter_n, adapter_n)
    expected = difference(merged_n, adapter_n)
    assert (row.merged, row.n, row.changed) == (f"rank-1-merged@{LAST}", QUESTIONS, 7)
    assert row.difference == pytest.approx(expected.value, rel=1e-4)
    assert row.difference_se == pytest.approx(expected.se, rel=1e-4)
    assert row.difference_holm == pytest.approx(min(1, 2 * p_value(expected)), rel=1e-4)
    same = row_of(frame, adapter=f"rank-4@{LAST}")
    assert (same.difference, same.difference_p, same.changed) == (0, 1, 0)
    assert cells(merged_table(frame), "questions changed") == ["7 of 200", "0 of 200"]
    assert "Adapter against merged model" in page
    assert not tree.table("rank")["variant"].str.contains("merged").any(), "not twice"


# --- token by token ---


def test_token_level_tables(tmp_path: Path) -> None:
    """What the base and the writer do alone stands beside the prefix test."""
    tree = Tree(tmp_path, **SMALL, rank={"ranks": [1]}, tokens={"suite": "test", "prefix": [4, 1]})
    page = words_of(write_report(tree.study))
    full, rank = f"step-{LAST}", f"rank-1@{LAST}"
    reading = tree.table("tokens_reading")
    assert list(reading["writer"][:3]) == ["base", full, rank]
    assert row_of(reading, writer=full, reader=full).nongreedy == 0
    prefix = tree.table("tokens_prefix")
    for own, writer in ((0.5, "base"), (0.6, full), (0.7, rank)):
        row = row_of(prefix, writer=writer, prefix=4)
        assert (row.own, row.base) == (pytest.approx(own), 0.5)
        assert (row.accuracy, row.whole) == (0.4, 0.25)
    table = prefix_table(prefix)
    assert cells(table, "how many") == ["1", "4"] * 3
    assert cells(table, "base continues ± se")[:2] == ["0.100 ± 0.020", "0.400 ± 0.020"]
    assert "Token by token" in page


# --- engines and decoding ---


def test_the_page_names_engine_versions_and_decoding(sampled: Tree) -> None:
    page = words_of(sampled.root / "report" / "index.html")
    scores = len(list((sampled.root / "runs").rglob("scores/*/*.json")))
    assert f"Scored by hf in float32 (lm-eval 0.4, torch 2.9): {scores} scores." in page
    assert (
        "temperature 0.6, top-p 0.95, 4 samples per question, seed 0, at most 256 (addition), "
        "3 000 (gsm8k) tokens, stop at &#39;Q:&#39;"
    ) in page
    assert f"greedy, at most 256 tokens<small>{SEED_NOTE}</small>" in page


@pytest.mark.parametrize(
    "change", [{"engine": "vllm"}, {"dtype": "bfloat16"}, {"versions": {"torch": "3.0"}}]
)
def test_several_engines_or_versions_are_warned_of(results: Results, change: dict) -> None:
    assert engine_warnings(results) == []
    key = ("grpo", "test", "expo@0.5")
    score = results.scores[key]
    other = replace(score, raw={**score.raw, **change})
    mixed = replace(results, scores={**results.scores, key: other})
    (warning,) = engine_warnings(mixed)
    assert "made with 2 combinations of engine, dtype and versions" in warning


def test_the_warning_stands_at_the_top(tmp_path: Path) -> None:
    tree = Tree(tmp_path, **SMALL)
    path = Path(tree.plan.paths.score("grpo", "test", "expo@0.5"))
    tree.write(path, {**json.loads(path.read_text()), "engine": "vllm"})
    page = words_of(write_report(tree.study))
    warning = page.index("The scores were made with 2 combinations of engine, dtype and versions")
    assert warning < page.index("<h2>")
    assert "1 scores" not in page and "vllm in float32 (lm-eval 0.4, torch 2.9): 1 score." in page
