"""Walking blocks and bfloat16 storage, against torch and a dense simulation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from alpharl.dynamics import blocks
from alpharl.dynamics.blocks import Block, block_shape, first_vectors, look, round_bf16
from alpharl.dynamics.fits import Settings
from alpharl.dynamics.lines import leading, line_holdout, line_r2
from alpharl.dynamics.table import dynamics_table
from alpharl.errors import CheckpointError
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.trajectories import planted_run

LENGTHS = np.array([1.0, 0.4, 2.0, 1.5, 0.1, 1.0, 1.0, 0.7])
CLOCK = np.arange(1.0, 9)


def gaussian_block(scale: float, shape: tuple[int, int] = (24, 40), times: int = 4) -> Block:
    weights = scale * np.random.default_rng(7).standard_normal(shape)
    return Block(weights.astype(np.float32), times * weights.size)


# --- bfloat16 ---


def by_torch(values: np.ndarray) -> np.ndarray:
    return torch.from_numpy(values).bfloat16().float().numpy()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_rounding_to_bfloat16_is_torchs(values):
    array = np.array(values, np.float32)
    assert np.array_equal(round_bf16(array).view(np.uint32), by_torch(array).view(np.uint32))


def test_rounding_to_bfloat16_is_torchs_around_every_tie():
    """All bfloat16 numbers, and their neighbours a bit beside the middle of each gap."""
    kept = np.arange(1 << 16, dtype=np.uint32) << 16
    for low in (0x0000, 0x0001, 0x7FFF, 0x8000, 0x8001, 0xFFFF):
        array = (kept | np.uint32(low)).view(np.float32)
        array = array[np.isfinite(array)]
        assert np.array_equal(round_bf16(array).view(np.uint32), by_torch(array).view(np.uint32))


# --- sampling ---


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4096, 4096), (24, 24)),
        ((1024, 4096), (24, 96)),
        ((11008, 4096), (64, 24)),
        ((8, 12), (8, 12)),
        ((1, 30), (1, 30)),
        ((2, 100_000), (2, 2048)),
    ],
)
def test_a_block_has_the_matrixs_proportions(shape, expected):
    assert block_shape(*shape) == expected


def test_blocks_hold_rows_and_columns_of_the_base(tmp_path, write_model):
    """Each entry's value tells its place, so the sampled rows and columns can be read off."""
    names = [f"model.layers.0.mlp.{part}_proj.weight" for part in ("up", "down")]
    grid = torch.arange(200.0)[:, None] * 1000 + torch.arange(100.0)[None]
    base = write_model(tmp_path / "base", {names[0]: grid, names[1]: grid.T.contiguous()})
    found = blocks.sample_blocks(base, names, seed=0)
    assert list(found) == names
    up = found[names[0]]
    assert up.weights.shape == (48, 24) and up.entries == 20_000
    rows, columns = up.weights[:, 0] // 1000, up.weights[0] % 1000
    assert np.array_equal(up.weights, rows[:, None] * 1000 + columns)
    assert len(set(rows)) == 48 and len(set(columns)) == 24
    assert np.array_equal(blocks.sample_blocks(base, names[:1], 0)[names[0]].weights, up.weights)
    other = blocks.sample_blocks(base, names[:1], 1)[names[0]].weights
    assert not np.array_equal(other, up.weights)


def test_a_base_that_is_not_finite_is_refused(tmp_path, write_model):
    name = "model.layers.0.mlp.up_proj.weight"
    base = write_model(tmp_path / "base", {name: torch.full((8, 8), float("nan"))})
    with pytest.raises(CheckpointError, match="holds 64 values that are not finite"):
        blocks.sample_blocks(base, [name], 0)


# --- walks ---


def test_entries_walk_with_the_matrixs_step_lengths():
    block = gaussian_block(1.0)
    path = blocks.walk_block(block, LENGTHS, 200, seed=0)
    assert path.shape == (200, 8, 24, 40) and path.dtype == np.float32
    steps = np.diff(path, axis=1, prepend=0)
    mean_square = (steps.astype(np.float64) ** 2).mean((0, 2, 3))
    np.testing.assert_allclose(mean_square, LENGTHS**2 / block.entries, rtol=0.02)


def dense_simulation(block: Block, path: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grams and cosines of u1 and v1 of one walk: torch's bfloat16, a dense SVD in float64."""
    base = torch.from_numpy(block.weights).bfloat16()
    after = [(base.float() + torch.from_numpy(p)).bfloat16() for p in path]
    updates = [(a.double() - base.double()).numpy() for a in after]
    rows = np.stack([update.ravel() for update in updates])
    u, v = [], []
    for update in updates:
        left, _, right = np.linalg.svd(update)
        u.append(left[:, 0])
        v.append(right[0])
    cosines = [np.abs([a @ b for a, b in pairwise(x)]) for x in (u, v)]
    return rows @ rows.T, *cosines


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (20, 20)])
@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_stored_walks_against_a_dense_simulation(shape, scale):
    """Steps of about a gap and of a tenth of one."""
    block = gaussian_block(scale, shape)
    path = blocks.walk_block(block, LENGTHS, 3, seed=1)
    found = look(blocks.stored(block, path))
    for b in range(3):
        gram, u, v = dense_simulation(block, path[b])
        np.testing.assert_allclose(found.grams[b], gram, rtol=1e-6, atol=1e-9 * gram.max())
        np.testing.assert_allclose(found.u[b], u, atol=2e-3)
        np.testing.assert_allclose(found.v[b], v, atol=2e-3)


def test_storage_hides_small_steps_and_leaves_large_ones():
    """Far above the gaps, bf16 changes nothing; near them, rounding noise hides the walk."""
    share = {}
    for scale in (1e-4, 30.0):
        block = gaussian_block(scale)
        path = blocks.walk_block(block, LENGTHS, 40, seed=0)
        walked, kept = look(path), look(blocks.stored(block, path))
        share[scale] = [leading(x.grams)[0].mean() for x in (walked, kept)]
        if scale == 1e-4:
            np.testing.assert_allclose(kept.grams, walked.grams, rtol=0.05)
    assert share[1e-4][1] == pytest.approx(share[1e-4][0], abs=1e-3)
    assert share[30.0][1] < share[30.0][0] - 0.05


def test_steps_that_all_round_to_zero():
    block = gaussian_block(1e3)
    found = look(blocks.stored(block, blocks.walk_block(block, 1e-3 * LENGTHS, 5, seed=0)))
    assert not found.grams.any() and not found.u.any() and not found.v.any()
    share, first = leading(found.grams)
    assert share.tolist() == line_r2(CLOCK, first).tolist() == [0.0] * 5
    assert np.isnan(line_holdout(found.grams, CLOCK, 5)).all()


def test_the_table_of_steps_that_all_round_to_zero_has_no_nan():
    factors, gram, accuracy, sampled, _ = planted_run()
    heavy = {name: Block(1e12 * b.weights, b.entries) for name, b in sampled.items()}
    table = dynamics_table(factors, gram, accuracy, heavy, Settings(20, 0.6, 0))
    bf16 = table[table.null == "bf16"].set_index("measure")
    assert len(bf16) == 18
    assert bf16.notna().all().all()
    for measure in ("temporal_share", "line_r2", "line_accuracy_r2", "cosine_u1", "cosine_v1"):
        assert (bf16.null_q95[measure] == 0).all()
    assert (bf16.null_q50["holdout_line_ratio"] == 1).all()


def test_first_vectors_of_tiny_updates_and_of_none():
    rng = np.random.default_rng(0)
    updates = rng.standard_normal((1, 2, 6, 9)).astype(np.float32)
    tiny = np.float32(1e-30) * updates
    tiny[0, 1] = 0
    u, v = first_vectors(tiny)
    left, _, right = np.linalg.svd(updates[0, 0].astype(np.float64))
    assert abs(u[0, 0] @ left[:, 0]) == pytest.approx(1, abs=1e-5)
    assert abs(v[0, 0] @ right[0]) == pytest.approx(1, abs=1e-5)
    assert not u[0, 1].any() and not v[0, 1].any()


def test_a_larger_block_turns_more():
    """So that a block's rotation is the cautious null for its matrix."""
    cosine = [
        look(blocks.walk_block(gaussian_block(1.0, (n, n)), np.ones(8), 20, seed=0)).u.mean()
        for n in (24, 48, 96)
    ]
    assert cosine[0] > cosine[1] + 0.02 > cosine[2] + 0.04
