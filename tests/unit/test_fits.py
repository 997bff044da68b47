"""What a matrix's trajectory is measured by: where there is no number, and ties with the nulls."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from alpharl.dynamics import fits
from alpharl.dynamics.fits import Settings, measure_lines, measure_pls, measure_rotation
from alpharl.dynamics.nulls import shuffles
from alpharl.dynamics.table import dynamics_table
from tests.unit.trajectories import PLANTED, planted_run


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(10, 0.6, 6), (20, 0.6, 12), (3, 0.6, 2), (3, 0.9, 2), (10, 0.05, 2), (10, 0.99, 9)],
)
def test_holdout_size(count, share, expected):
    assert Settings(holdout=share).fitted(count) == expected


def table_of(accuracies: list[float], permutations: int = 19) -> pd.DataFrame:
    """The planted run's table, cut to as many checkpoints as there are accuracies."""
    factors, gram, _, blocks, _ = planted_run()
    steps = PLANTED[: len(accuracies)]
    known = dict(zip(steps, accuracies, strict=True))
    kept_factors = {step: factors[step] for step in steps}
    return dynamics_table(kept_factors, gram, known, blocks, Settings(permutations, 0.6, 0))


# --- where there is no number ---


@pytest.mark.parametrize("accuracies", [[0.7] * 8, [0.7] * 5 + [0.9, 0.8, 0.9]])
def test_no_pls_where_the_fitted_accuracies_do_not_vary(accuracies):
    measures = set(table_of(accuracies).measure)
    assert not [measure for measure in measures if "pls" in measure]
    assert "line_r2" in measures


def test_no_line_against_accuracies_that_never_vary():
    assert "line_accuracy_r2" not in set(table_of([0.7] * 8).measure)
    assert "line_accuracy_r2" in set(table_of([0.7] * 5 + [0.9, 0.8, 0.9]).measure)


def test_left_out_r2_is_nan_where_the_others_do_not_vary():
    """Without the middle one, two equal accuracies are left: no fit. Its draws are numbers."""
    table = table_of([0.5, 0.9, 0.5])
    left_out = table[table.measure == "pls_left_out_r2"]
    assert len(left_out) == 8
    assert left_out.value.isna().all() and left_out.p.isna().all()
    assert left_out.null_q50.notna().all()
    assert table[table.measure != "pls_left_out_r2"].value.notna().all()
    assert table_of([0.5, 0.9, 0.6]).value.notna().all()


def test_left_out_r2_is_nan_where_only_one_vector_is_another():
    y_t, u_td = np.linspace(0.1, 0.8, 8), np.tile(np.eye(9)[0], (8, 1))
    u_td[2] = np.eye(9)[1]
    stored = still_walks(8)
    measured = {m.measure: m.value for m in measure_pls(u_td, y_t, stored, Settings(20))}
    assert np.isnan(measured["pls_left_out_r2"])
    assert np.isfinite(measured["pls_r2"]) and np.isfinite(measured["holdout_pls_mae"])


def test_no_pls_where_the_fitted_vectors_do_not_vary():
    u_td = np.tile(np.eye(9)[0], (8, 1))
    u_td[6:] = np.eye(9)[1]
    assert not list(measure_pls(u_td, np.linspace(0.1, 0.8, 8), still_walks(8), Settings(20)))


def still_walks(count: int) -> fits.Walks:
    """20 walks that bfloat16 has swallowed."""
    return fits.Walks(np.zeros((20, count, count)), *np.zeros((2, 20, count - 1)))


def lines_of(gram_tt: np.ndarray) -> list[fits.Measured]:
    steps = np.arange(1.0, len(gram_tt) + 1)
    return list(measure_lines(gram_tt, steps, steps / 10, still_walks(len(steps)), Settings(20)))


def test_a_frozen_tensor_has_no_lines_and_no_rotation():
    assert lines_of(np.zeros((6, 6))) == []
    vectors = {side: np.zeros((6, 9)) for side in "uv"}
    walks = still_walks(6)
    assert not list(measure_rotation(vectors, np.zeros((6, 6)), walks, walks, Settings(20)))


def test_an_update_of_zero_has_no_rotation_and_keeps_its_lines():
    gram = np.diag([0.0, 1, 1, 1, 1, 1])
    vectors = {side: np.eye(6, 9) for side in "uv"}
    walks = still_walks(6)
    assert not list(measure_rotation(vectors, gram, walks, walks, Settings(20)))
    assert {m.measure for m in lines_of(gram)} >= {"line_r2", "temporal_share"}


@pytest.mark.parametrize("frozen", ["early", "late"])
def test_the_hold_out_ratio_is_nan_where_nothing_moves_and_its_draws_are_numbers(frozen):
    """The fitted weights never left the base, or the later ones no longer move."""
    rows = np.zeros((6, 4))
    if frozen == "early":
        rows[4:] = np.eye(2, 4)
    else:
        rows[:] = np.array([3.0, 4, 0, 0])
        rows[:3] *= np.array([0.25, 0.5, 0.75])[:, None]
    measured = lines_of(rows @ rows.T)
    ratios = [m for m in measured if m.measure == "holdout_line_ratio"]
    assert len(ratios) == 5
    assert all(np.isnan(m.value) and np.isnan(m.null.p_value(m.value)) for m in ratios)
    assert all(np.isfinite(m.null.draws).all() for m in measured)
    assert all(np.isfinite(m.value) for m in measured if m.measure != "holdout_line_ratio")
    bf16 = next(m.null for m in ratios if m.null.name == "bf16")
    assert (bf16.draws == 1).all(), "walks that are swallowed gain and lose nothing"


# --- ties ---


def unchanged_first(count: int, draws: int, seed: int, unchanged: int) -> np.ndarray:
    """Shuffles, the first of which change nothing."""
    orders = shuffles(count, draws, seed)
    orders[:unchanged] = np.arange(count)
    return orders


@pytest.mark.parametrize("at_once", [1 << 21, 10_300])
def test_a_permutation_that_changes_nothing_ties_with_the_measured_value(monkeypatch, at_once):
    """Equal to the bit, so that p counts it; also in small batches, the last of one draw."""
    monkeypatch.setattr("alpharl.dynamics.nulls.AT_ONCE", at_once)
    monkeypatch.setattr(fits, "shuffles", lambda *args: unchanged_first(*args, unchanged=57))
    table = table_of([0.1, 0.35, 0.49, 0.6, 0.77, 0.71, 0.85, 0.93], permutations=57)
    permuted = table[table.null == "permutation"]
    assert set(permuted.measure) == set(table.measure) - {"temporal_share"}
    assert (permuted.p == 1).all()
    for quantile in ("null_q05", "null_q50", "null_q95"):
        assert (permuted[quantile] == permuted.value).all()


def test_unchanged_orders_among_others_count_for_p(monkeypatch):
    """40 of 100 draws are the run itself, whose measures no other order reaches."""
    monkeypatch.setattr(fits, "shuffles", lambda *args: unchanged_first(*args, unchanged=40))
    table = table_of([0.1, 0.35, 0.49, 0.6, 0.77, 0.79, 0.85, 0.93], permutations=100)
    signal = table[(table.null == "permutation") & table.tensor.str.contains("up_proj")]
    best = signal[signal.measure.isin(["line_r2", "cosine_u1"])]
    assert best.p.tolist() == [41 / 101] * len(best) and len(best) == 2
    assert (signal.p >= 41 / 101).all()
