"""Runs by group: permutation tests by hand, means over runs, and words that follow from them."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from alpharl.report import permutation, write_report
from alpharl.report.permutation import compare, smallest_p
from alpharl.report.sections.algorithm_measures import COLUMNS
from alpharl.report.sections.rl_vs_sft import answers, compared_frame
from scipy import stats
from tests.unit.reports import LAST, QUESTIONS, Tree, row_of


def values(*numbers: float) -> np.ndarray:
    return np.array(numbers, dtype=float)


@pytest.mark.parametrize(
    ("first", "second", "difference", "cliff", "p"),
    [
        # Of the 6 divisions of 1..4, {3, 4} and {1, 2} are this far apart.
        ([3, 4], [1, 2], 2, 1, 2 / 6),
        # The single run can be any of four: 5 apart as found, and -1/3, -5/3, -3.
        ([5, 6, 7], [1], 5, 1, 1 / 4),
        # Triples of 1..5 sum to 6, 7, 8, 8, 9, 9, 10, 10, 11, 12; those of 9 alone are nearer.
        ([1, 4, 5], [2, 3], 5 / 6, 1 / 3, 8 / 10),
        ([1, 2], [3, 4], -2, -1, 2 / 6),
        ([2, 2], [2, 2], 0, 0, 1),
        ([1], [0], 1, 1, 1),
    ],
)
def test_permutations_by_hand(first, second, difference, cliff, p):
    found = compare(values(*first), values(*second))
    assert found.difference == pytest.approx(difference)
    assert found.cliff == pytest.approx(cliff)
    assert found.p == pytest.approx(p)


def test_equal_differences_are_equal_however_they_are_summed_up():
    assert 0.1 + 0.2 != 0.3
    assert compare(values(0.1 + 0.2, 0.7), values(0.3, 0.7)).p == 1
    # The mirrored division of distinct values counts too, whatever its rounding.
    rng = np.random.default_rng(0)
    for _ in range(20):
        one = np.sort(rng.random(6) * 1e3)
        assert compare(one[:3], one[3:]).p == pytest.approx(2 / 20)


@pytest.mark.parametrize(("n", "m"), [(5, 4), (4, 5), (4, 4), (7, 2)])
def test_permutations_are_scipy_s(n, m):
    rng = np.random.default_rng(n)
    first, second = rng.normal(0.7, 1, n), rng.normal(0, 1, m)
    expected = stats.permutation_test(
        (first, second),
        lambda a, b: abs(a.mean() - b.mean()),
        n_resamples=np.inf,
        alternative="greater",
    )
    assert compare(first, second).p == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(
    ("n", "m", "p"), [(3, 3, 2 / 20), (21, 3, 1 / 2024), (1, 1, 1), (2, 1, 1 / 3), (3, 1, 1 / 4)]
)
def test_the_smallest_p_is_that_of_runs_that_are_all_apart(n, m, p):
    assert smallest_p(n, m) == pytest.approx(p)
    found = compare(10.0 + np.arange(n), np.arange(m) / 10)
    assert found.p == pytest.approx(p) == found.smallest


def test_where_divisions_are_too_many_they_are_drawn(monkeypatch):
    rng = np.random.default_rng(3)
    first, second = rng.normal(0.8, 1, 8), rng.normal(0, 1, 7)
    exact = compare(first, second).p
    monkeypatch.setattr(permutation, "EXACT", 5000)
    assert math.comb(15, 7) > 5000
    drawn = compare(first, second)
    assert drawn.p == pytest.approx(exact, abs=4 * math.sqrt(exact / 5000))
    assert drawn == compare(first, second), "the same draws each time"
    apart = compare(100 + first, second)
    # The 6435 divisions hold the one that was found, and a few of the draws may be it.
    assert apart.smallest == 1 / 5000 <= apart.p <= 6 / 5000


def test_nothing_to_compare_is_nan():
    assert all(math.isnan(x) for x in vars(compare(values(), values(1, 2))).values())


def runs_of(algorithm: str, numbers: list[float], **more: Any) -> list[dict[str, Any]]:
    """Rows of `norm` and of a measure that is the same in all runs."""
    head = {"base": "b", "group": algorithm, "algorithm": algorithm, "optimizer": "adamw"} | more
    rows = []
    for i, number in enumerate(numbers):
        one = {**head, "run": f"{head['group']}-{i}", "suite": ""}
        rows.append({**one, "measure": "norm", "value": number, "null": np.nan})
        rows.append({**one, "measure": "line_r2", "value": 0.9, "null": 0.8})
    return rows


def frame_of(*parts: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([row for part in parts for row in part], columns=COLUMNS)


def test_rl_runs_of_all_algorithms_stand_against_sft():
    measures = frame_of(
        runs_of("grpo", [1.0, 1.1, 1.2]),
        runs_of("rloo", [1.3, 1.4, 1.5]),
        runs_of("sft", [3.0, 3.1]),
        runs_of("distill", [50.0]),
        runs_of("es", [70.0]),
        runs_of("", [90.0], group="downloads", optimizer=""),
    )
    tests = compared_frame(measures).set_index("measure")
    norm, line = tests.loc["norm"], tests.loc["line_r2"]
    assert (norm.rl_runs, norm.sft_runs, norm.cliff) == (6, 2, -1)
    assert (norm.rl, norm.sft, norm.difference) == pytest.approx((1.25, 3.05, -1.8))
    # 28 ways to choose the two; after Holm over two measures 2/28.
    assert (norm.p, norm.smallest, norm.holm) == pytest.approx((1 / 28, 1 / 28, 2 / 28))
    assert norm.reading == "no difference could be shown with 6 and 2 runs"
    assert (line.p, line.holm, line.rl_null, line.sft_null) == pytest.approx((1, 1, 0.8, 0.8))
    first, sides, unknown = answers(measures, tests.reset_index())
    assert first == (
        "Base b, adamw: 6 RL runs (grpo, rloo) against 2 of SFT. 0 of 2 measures differ beyond "
        "chance. No difference could be shown in: norm of the update, line R². The smallest p "
        "that so few runs can give is 0.0357, after Holm over 2 measures 0.0714: nothing could "
        "have been shown here."
    )
    assert sides == "On neither side, in rows of their own: distill, es."
    assert unknown == "Not known how it was trained, so on neither side: downloads."


def test_a_difference_is_said_with_its_numbers():
    rl = [1.0, 1.1, 1.2, 1.3, 1.4]
    measures = frame_of(runs_of("grpo", rl), runs_of("sft", [3.0, 3.1, 3.2]))
    tests = compared_frame(measures)
    norm = row_of(tests, measure="norm")
    assert norm.reading == "differs, lower under RL"
    assert norm.holm == pytest.approx(2 / 56)
    (text,) = answers(measures, tests)
    assert text == (
        "Base b, adamw: 5 RL runs (grpo) against 3 of SFT. 1 of 2 measures differs beyond chance: "
        "norm of the update lower under RL (1.200 against 3.100, Cliff's δ −1.00, p 0.0179, Holm "
        "0.0357). No difference could be shown in: line R². The smallest p that so few runs can "
        "give is 0.0179, after Holm over 2 measures 0.0357."
    )


def test_bases_and_optimizers_are_not_mixed():
    measures = frame_of(
        runs_of("grpo", [1.0, 2.0]),
        runs_of("sft", [9.0]),
        runs_of("grpo", [10.0], group="grpo-sgd", optimizer="sgd"),
        runs_of("sft", [30.0, 40.0], group="sft-sgd", optimizer="sgd"),
        runs_of("grpo", [5.0], group="other", base="c"),
    )
    tests = compared_frame(measures)
    keys = ["optimizer", "rl_runs", "sft_runs", "difference"]
    norms = tests[tests["measure"] == "norm"][keys].to_numpy().tolist()
    assert norms == [["adamw", 2, 1, -7.5], ["sgd", 1, 2, -25.0]]
    # Each has a correction of its own: smallest p 1/3, times two measures.
    assert tests["holm"].tolist() == pytest.approx([2 / 3, 1, 2 / 3, 1])


def test_a_measure_that_one_side_has_not_is_not_counted():
    measures = frame_of(runs_of("grpo", [1.0, 2.0]), runs_of("sft", [math.nan]))
    tests = compared_frame(measures)
    assert row_of(tests, measure="norm").reading == "not to be compared: defined in 2 and 0 runs"
    assert "0 of 1 measure differ" in answers(measures, tests)[0]


def test_without_both_sides_the_question_stays_open():
    measures = frame_of(runs_of("grpo", [1.0]), runs_of("dpo", [2.0]))
    tests = compared_frame(measures)
    assert tests.empty
    assert answers(measures, tests) == [
        "No base and optimizer here has runs of both RL and SFT, so this stays open.",
        "On neither side, in rows of their own: dpo.",
    ]


def trained(algorithm: str, **more: object) -> dict[str, object]:
    spec = {"algorithm": algorithm, "steps": LAST, "save_every": LAST // 3}
    return {"base": "base", "train": spec, **more}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    made = Tree(
        tmp_path_factory.mktemp("results"),
        no_gain="grpo-seed1",
        runs={
            "grpo": trained("grpo", seeds=[0, 1]),
            "sft": trained("sft"),
            "walk": trained("random-walk"),
        },
        forecast={"windows": [], "methods": {}},
        rank={"ranks": [1], "unscaled": [], "without": []},
    )
    write_report(made.study)
    return made


def test_a_group_is_the_mean_over_its_runs(tree: Tree) -> None:
    frame = tree.table("algorithms")
    gains = []
    for run in ("grpo-seed0", "grpo-seed1"):
        base, full = (tree.correct[run, "test", f"step-{step}"] for step in (0, LAST))
        gains.append(full - base)
    row = row_of(frame, group="grpo", measure="gain")
    assert (row.runs, row.of, row.suite, row.algorithm) == (2, 2, "test", "grpo")
    assert row["mean"] == pytest.approx(np.mean(gains), rel=1e-5)
    assert row.sd == pytest.approx(np.std([g.mean() for g in gains], ddof=1), rel=1e-5)
    # Over questions, each run's outcome averaged first.
    per_question = np.mean(gains, axis=0)
    assert row.se == pytest.approx(per_question.std(ddof=1) / math.sqrt(QUESTIONS), rel=1e-5)
    before = row_of(frame, group="grpo", measure="accuracy_base")
    bases = [tree.correct[run, "test", "step-0"].mean() for run in ("grpo-seed0", "grpo-seed1")]
    assert before["mean"] == pytest.approx(np.mean(bases), rel=1e-5)


def test_undefined_recoveries_are_left_out_and_counted(tree: Tree) -> None:
    frame, recovery = tree.table("algorithms"), tree.table("rank")
    row = row_of(frame, group="grpo", measure="rank1_gain_recovery")
    own = row_of(recovery, run="grpo-seed0", variant=f"rank-1@{LAST}")
    control = row_of(recovery, run="grpo-seed0", variant=f"random-1@{LAST}")
    assert (row.runs, row.of) == (1, 2)
    assert row["mean"] == pytest.approx(own.gain_recovery, rel=1e-5)
    assert row.null == pytest.approx(control.gain_recovery, rel=1e-5)
    assert math.isnan(row.sd)
    page = (tree.root / "report" / "index.html").read_text()
    assert f"null {control.gain_recovery:.3f}, 1 of 2 runs".replace("-", "−") in page


def test_measures_of_updates_stand_beside_their_nulls(tree: Tree) -> None:
    frame = tree.table("algorithm_runs")
    found = {
        measure: tuple(row_of(frame, run="sft", measure=measure)[["value", "null"]])
        for measure in ("pls_r2", "line_r2", "sparsity_equal", "sparsity_close", "rank1_share")
    }
    assert found["pls_r2"] == pytest.approx((0.97, 0.96))
    assert found["line_r2"] == pytest.approx((0.95, 0.96))
    assert found["sparsity_equal"] == pytest.approx((0.54, 0.1))
    assert found["sparsity_close"] == pytest.approx((0.6, 0.2))
    spectrum = row_of(tree.table("spectrum"), run="sft")
    assert found["rank1_share"] == pytest.approx((spectrum.top_1, spectrum.null_1), rel=1e-5)
    norm = row_of(tree.table("norms"), run="sft", step=LAST).norm
    assert row_of(frame, run="sft", measure="norm").value == pytest.approx(norm)


def test_the_page_answers_and_names_the_rest(tree: Tree) -> None:
    page = (tree.root / "report" / "index.html").read_text()
    assert "Base base, adamw: 2 RL runs (grpo) against 1 of SFT." in page
    assert "nothing could have been shown here" in page
    assert "On neither side, in rows of their own: random-walk." in page
    assert "RL against SFT: base base, adamw" in page
    cells = re.findall(r"<tr[^>]*>(.*?)</tr>", page[page.index("Scores on test") :], re.DOTALL)
    first = re.findall(r"<td[^>]*>([^<]*)", cells[1])
    before = row_of(tree.table("algorithms"), group="grpo", measure="accuracy_base")
    spread = f"{before['mean']:.3f} ({before.sd:.3f})"
    assert [cell.strip() for cell in first[:5]] == ["base", "grpo", "grpo", "2", spread]
    tests = tree.table("algorithm_tests")
    assert len(tests) == 10 and (tests["smallest"].dropna() >= 1 / 3 - 1e-6).all()
    assert (tests["holm"].dropna() == 1).all()
    walk = tree.table("algorithm_runs").query("run == 'walk'")
    assert walk["optimizer"].isna().all(), "it has none"
