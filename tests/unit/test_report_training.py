"""The report on how weights and training moved: spectra, lines, walks, sparsity, curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from alpharl.report import write_report
from alpharl.report.sections.spectrum import null_share
from alpharl.report.sections.training_curves import drawn, smoothed
from tests.unit.reports import CONFIG, LAST, Tree, row_of, tree

__all__ = ["tree"]


def test_spectrum_stands_beside_its_null(tree: Tree) -> None:
    row = row_of(tree.table("spectrum"), run="grpo")
    s = 0.6 ** np.arange(8)
    shares = s**2 / (1.1**2 * (s**2).sum())
    assert row.top_1 == pytest.approx(shares[0], rel=1e-4)
    assert row.top_4 == pytest.approx(shares[:4].sum(), rel=1e-4)
    assert row.null_1 == pytest.approx((np.sqrt(32) + np.sqrt(48)) ** 2 / (32 * 48), rel=1e-4)
    norms = tree.table("norms")
    step = row_of(norms, run="grpo", step=12)
    assert step.norm == pytest.approx(np.sqrt(2) * 1.1 * 0.12 * np.sqrt((s**2).sum()), rel=1e-4)


@pytest.mark.parametrize("shape", [(128, 128), (96, 384)])
def test_gaussian_null_matches_simulation(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    squares = [np.linalg.svd(rng.normal(size=shape), compute_uv=False) ** 2 for _ in range(10)]
    for top in (1, 4, 8):
        simulated = np.mean([s[:top].sum() / s.sum() for s in squares])
        assert simulated <= null_share(*shape, top) <= 1.12 * simulated


def test_linearity_shows_nulls_and_counts_modules(tree: Tree) -> None:
    frame = tree.table("dynamics")
    row = row_of(frame, run="grpo", measure="pls_r2", null="permutation")
    assert (row.modules, row.beyond) == (4, 1.0)
    assert (row.value, row.null_q50, row.null_q95) == pytest.approx((0.97, 0.93, 0.95))
    chance = row_of(frame, run="grpo", measure="line_r2", null="random-walk")
    assert "no more than chance" in chance.reading
    holdout = row_of(frame, run="grpo", measure="holdout_pls_mae", null="keep-last")
    assert holdout.beyond == 0
    assert "worse than keeping the last" in holdout.reading


def test_linearity_is_shown_by_module(tree: Tree) -> None:
    frame = tree.table("dynamics_modules")
    row = row_of(frame, run="grpo", module="q_proj", measure="pls_r2", null="random-walk")
    assert (row.modules, row.beyond) == (4, 0)
    assert (row.value, row.null_q50) == pytest.approx((0.97, 0.96))
    page = (tree.root / "report" / "index.html").read_text()
    assert "<small>walk 0.960</small>" in page


def test_the_path_stands_beside_walks(tree: Tree) -> None:
    frame = tree.table("pca")
    assert set(frame.run) == set(tree.study.runs)
    page = (tree.root / "report" / "index.html").read_text()
    assert "0.580 to 0.640" in page and 'id="caption-pca"' in page


def test_the_floor_says_whether_bf16_could_show_rank_1(tree: Tree) -> None:
    row = row_of(tree.table("floor"), run="grpo", module="k_proj")
    assert (row.matrices, row.rounded_share) == (2, 0.43)
    assert row.unmoved == pytest.approx(0.91)
    page = (tree.root / "report" / "index.html").read_text()
    assert "would show a top-1 share of only 0.43 (measured: 0.30)" in page
    assert "survives bf16 (top-1 share 0.99)" in page


def test_sparsity_is_that_of_all_entries_beside_a_gaussian_update(tree: Tree) -> None:
    frame = tree.table("sparsity")
    assert frame.step.tolist() == 2 * list(range(6, LAST + 1, 6))
    row = row_of(frame, run="grpo", step=LAST)
    assert (row.entries, row.equal, row.close, row.null_close) == (400, 0.54, 0.6, 0.2)
    page = (tree.root / "report" / "index.html").read_text()
    assert page.count("0.540<small>Gaussian 0.100</small>") == 2


def test_curves_are_drawn_for_what_was_logged(tree: Tree) -> None:
    frame = tree.table("training")
    assert frame["run"].unique().tolist() == frame["group"].unique().tolist() == ["grpo"]
    assert frame["step"].tolist() == list(range(1, 121))
    assert frame["kl"].isna().all() and frame["reward"].iloc[-1] == 0.9
    assert drawn(frame) == ["reward", "loss"]
    page = (tree.root / "report" / "index.html").read_text()
    assert "Left out, for only their checkpoints are known: grpo-own." in page
    assert (tree.root / "report" / "figures" / "training.svg").is_file()


def test_a_line_of_a_curve_has_sixty_points_at_most() -> None:
    steps = pd.DataFrame({"step": range(1, 122), "reward": np.arange(121.0)})
    line = smoothed(steps)
    assert len(line) == 41
    assert line.iloc[[0, 1, -1]].to_numpy().tolist() == [[2, 1], [5, 4], [121, 120]]
    assert smoothed(steps[:60]).equals(steps[:60].astype(float))


def test_runs_that_logged_nothing_have_no_curves(tmp_path: Path) -> None:
    made = Tree(tmp_path, runs={"own": CONFIG["runs"]["grpo-own"]})
    page = write_report(made.study).read_text()
    assert not (made.root / "report" / "figures" / "training.svg").exists()
    assert not (made.root / "report" / "tables" / "training.csv").exists()
    assert "All runs of this study are of one group" in page
    assert not (made.root / "report" / "tables" / "algorithms.csv").exists()
