"""`next`: its pairs against dense SVDs of differences, its networks against the published ones."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from alpharl.errors import MethodError
from alpharl.forecasting.contract import Prediction, Window
from alpharl.forecasting.next import rank_one_track
from alpharl.forecasting.next_net import build, predict_ahead
from alpharl.forecasting.registry import METHODS
from alpharl.spectra.lowrank import Factors, LowRank
from torch import nn

STEPS, TARGET, SHAPE = [10, 20, 30, 40, 50, 60, 70, 80], 140, (64, 48)
NAMES = [f"model.layers.{i}.mlp.up_proj.weight" for i in range(4)]
Path = Callable[[str, float], np.ndarray]


def svd(matrix: np.ndarray, rank: int | None = None) -> LowRank:
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    return LowRank(u[:, :rank], s[:rank], vt[:rank].T)


def best_rank_one(matrix: np.ndarray) -> np.ndarray:
    return svd(matrix, 1).dense()


def window_of(path: Path, steps: list[int] = STEPS, rank: int | None = None) -> Window:
    """Dense SVDs of made-up updates, float64."""
    factors: dict[int, dict[str, Factors]] = {}
    for step in steps:
        found = {name: path(name, step) for name in NAMES}
        factors[step] = {
            name: Factors(svd(update, rank), float(np.linalg.norm(update)), np.zeros(1))
            for name, update in found.items()
        }
    return Window(steps, TARGET, [*NAMES, "model.norm.weight"], factors=factors)


def forecast(window: Window, **given: object) -> Prediction:
    return METHODS["next"](**given).forecast(window)


def growing(name: str, step: float) -> np.ndarray:
    """One fixed direction per matrix, its size growing along the same line for all."""
    rng = np.random.default_rng(NAMES.index(name))
    u, v = (x / np.linalg.norm(x) for x in (rng.standard_normal(n) for n in SHAPE))
    return 0.002 * step * np.outer(u, v)


def wandering(rank: int, seed: int = 0) -> list[np.ndarray]:
    """Updates of a matrix, each a random step of rank 1 from the last, of `rank` at the end."""
    rng = np.random.default_rng(seed)
    moves = [np.outer(rng.standard_normal(12), rng.standard_normal(9)) for _ in range(rank)]
    return list(np.cumsum(moves, axis=0))


# --- what is learned from ---


@pytest.mark.parametrize("horizon", [1, 2, 4])
def test_pairs_are_rank_one_parts_of_dense_differences(horizon):
    """The updates have at most the rank that is read, as those of a LoRA run: nothing is lost."""
    updates = wandering(5)
    track = rank_one_track([svd(update, 5) for update in updates], horizon)
    before = [np.zeros_like(updates[0]), *updates]
    expected = {
        "total": updates,
        "recent": [b - a for a, b in zip(before, updates, strict=False)],
        "ahead": [b - a for a, b in zip(updates, updates[horizon:], strict=False)],
    }
    found = {
        "total": {part: rows[:, 0] for part, rows in track.given.items()},
        "recent": {part: rows[:, 1] for part, rows in track.given.items()},
        "ahead": track.ahead,
    }
    for kind, matrices in expected.items():
        rows = found[kind]
        assert len(rows["u"]) == len(rows["s"]) == len(rows["v"]) == len(matrices)
        for u, s, v, matrix in zip(rows["u"], rows["s"], rows["v"], matrices, strict=True):
            np.testing.assert_allclose(s * np.outer(u, v), best_rank_one(matrix), atol=1e-10)
            assert np.linalg.norm(u) == pytest.approx(1)
            assert s == pytest.approx(np.linalg.norm(matrix, 2))


def test_differences_are_those_of_the_triplets_that_are_read():
    """Beyond the rank that is read, they are not the differences of the weights."""
    updates = wandering(5)
    track = rank_one_track([svd(update, 2) for update in updates], 1)
    low = [svd(update, 2).dense() for update in updates]
    for t in range(4):
        found = track.ahead["s"][t] * np.outer(track.ahead["u"][t], track.ahead["v"][t])
        np.testing.assert_allclose(found, best_rank_one(low[t + 1] - low[t]), atol=1e-10)
    assert track.ahead["s"][3] != pytest.approx(
        np.linalg.norm(updates[4] - updates[3], 2), rel=0.01
    )


def test_signs_do_not_depend_on_the_svd_and_are_continuous():
    updates = [svd(update, 6) for update in wandering(6)]
    rng = np.random.default_rng(1)
    flips = [rng.choice([-1.0, 1.0], size=len(low.s)) for low in updates]
    flipped = [LowRank(x.u * f, x.s, x.v * f) for x, f in zip(updates, flips, strict=True)]
    one, other = rank_one_track(updates, 2), rank_one_track(flipped, 2)
    for part in "usv":
        np.testing.assert_allclose(one.given[part], other.given[part], atol=1e-9)
        np.testing.assert_allclose(one.ahead[part], other.ahead[part], atol=1e-9)
    last = one.given["u"][-1, 0]
    assert last[np.abs(last).argmax()] > 0
    for i in range(2):
        rows = np.hstack([one.given[part][:, i] for part in "uv"])
        assert (np.sum(rows[:-1] * rows[1:], axis=1) >= 0).all()


def test_a_change_of_nothing_has_no_direction():
    updates = wandering(3)
    track = rank_one_track([svd(m, 6) for m in (updates[0], updates[0], updates[1], updates[2])], 1)
    assert not track.given["u"][1, 1].any()
    assert not track.ahead["v"][0].any()
    assert (track.given["s"][1, 1], track.ahead["s"][0]) == (0, 0)
    assert track.ahead["s"][1] > 0


# --- the networks ---


def test_layers_are_the_published_ones():
    """Two branches d-256-d-256-d with one ReLU, and one on both outputs: 2d-256-2d-256-d."""
    d, shapes = 96, {}
    for name, branch in build(d).items():
        assert [type(layer) for layer in branch] == [
            nn.Linear, nn.Linear, nn.ReLU, nn.Linear, nn.Linear
        ]  # fmt: skip
        shapes[name] = [(x.in_features, x.out_features) for x in branch if hasattr(x, "weight")]
        assert all(x.bias is not None for x in branch if hasattr(x, "weight"))
    alone = [(d, 256), (256, d), (d, 256), (256, d)]
    assert shapes["total"] == shapes["recent"] == alone
    assert shapes["join"] == [(2 * d, 256), (256, 2 * d), (2 * d, 256), (256, d)]


def test_training_is_the_published_one():
    """L1 summed over a checkpoint's vectors, accumulated over checkpoints, one AdamW step each."""
    rng, d, epochs = np.random.default_rng(0), 20, 60
    known, ahead, asked = (rng.standard_normal(s) for s in ((6, 2, d), (6, d), (3, 2, d)))
    found, losses = predict_ahead(known, ahead, asked, epochs, seed=3)

    def branch(a: int, b: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(a, 256), nn.Linear(256, a), nn.ReLU(), nn.Linear(a, 256), nn.Linear(256, b)
        )

    torch.manual_seed(3)
    one, two, join = branch(d, d), branch(d, d), branch(2 * d, d)
    weights = [*one.parameters(), *two.parameters(), *join.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=2e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=2e-6)
    x, y, z = (torch.from_numpy(a).float() for a in (known, ahead, asked))

    def net(given: torch.Tensor) -> torch.Tensor:
        return join(torch.cat([one(given[:, 0]), two(given[:, 1])], dim=-1))

    seen = []
    for _ in range(epochs):
        optimizer.zero_grad()
        parts = [torch.abs(net(x[i : i + 2]) - y[i : i + 2]).sum() / 3 for i in (0, 2, 4)]
        for part in parts:
            part.backward()
        seen.append(sum(part.item() for part in parts) / 2)
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(found, net(z).detach().numpy(), atol=1e-5)
    assert losses == pytest.approx([seen[0], seen[-1]], rel=1e-5)
    assert losses[1] < 0.99 * losses[0]


def test_same_seed_same_forecast():
    window = window_of(growing)
    state = torch.random.get_rng_state()
    one, again, other = (forecast(window, epochs=30, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state), "other draws are left alone"
    for name in NAMES:
        np.testing.assert_array_equal(one.adapter[name].dense(), again.adapter[name].dense())
        assert not np.array_equal(one.adapter[name].dense(), other.adapter[name].dense())


# --- the forecast ---


def test_a_learnable_path_is_forecast_better_than_by_staying():
    found = forecast(window_of(growing))
    for name in NAMES:
        assert found.blend[name] == {80: 1.0}
        last, true = growing(name, 80), growing(name, TARGET)
        jump = found.adapter[name].dense()
        assert np.linalg.matrix_rank(jump) == 1
        error = np.linalg.norm(last + jump - true) / np.linalg.norm(last - true)
        assert error < 0.5
    assert found.blend["model.norm.weight"] == {80: 1.0}
    assert "model.norm.weight" not in found.adapter


def test_jump_is_scaled_to_the_target():
    """Half of 8 checkpoints ahead is 40 steps; the target is 60 past the last."""
    window = window_of(growing)
    found, plain = forecast(window, epochs=3), forecast(window, epochs=3, coefficient=1)
    assert (found.fit["horizon"], found.fit["coefficient"]) == (4, 1.5)
    for name in NAMES:
        np.testing.assert_allclose(found.adapter[name].s, 1.5 * plain.adapter[name].s)
        np.testing.assert_array_equal(found.adapter[name].u, plain.adapter[name].u)
        assert plain.adapter[name].s == pytest.approx([plain.fit["sigma"][name]])
        assert np.linalg.norm(found.adapter[name].u) == pytest.approx(1)
        assert np.linalg.norm(found.adapter[name].v) == pytest.approx(1)


def test_horizon_of_uneven_steps_is_their_mean():
    """Two ahead: 10 to 35, 20 to 50, 27.5 steps; the target is 90 past the last."""
    found = forecast(window_of(growing, [10, 20, 35, 50]), epochs=3)
    assert (found.fit["horizon"], found.fit["coefficient"]) == (2, pytest.approx(90 / 27.5))


def test_fit_says_how_much_of_the_updates_was_read():
    def path(name: str, step: float) -> np.ndarray:
        return step * sum(wandering(5, NAMES.index(name))[:4])

    whole, part = (forecast(window_of(path), epochs=3, rank=rank).fit["kept"] for rank in (8, 2))
    for name in NAMES:
        s = np.linalg.svd(path(name, 80))[1]
        assert whole[name] == pytest.approx(1)
        assert part[name] == pytest.approx(np.sum(s[:2] ** 2) / np.sum(s**2))


@pytest.mark.parametrize(
    ("steps", "given", "expected"),
    [([10], {}, "found 1 checkpoints in the window, expected at least 2"),
     ([10, 20, 30], {"horizon": 3}, "found 3 checkpoints in the window, expected at least 4"),
     ([10, 20], {"horizon": 5}, "expected at least 6")],
)  # fmt: skip
def test_a_window_without_a_pair_is_refused(steps, given, expected):
    with pytest.raises(MethodError, match=expected):
        forecast(window_of(growing, steps), **given)


# --- how deep the factors are ---


def test_factors_that_are_not_deep_enough_are_refused():
    with pytest.raises(MethodError, match="found 3 triplets at step 10, expected 8; factor again"):
        forecast(window_of(growing, rank=3))
    assert forecast(window_of(growing, rank=3), rank=3, epochs=3).adapter


def test_verb_makes_factors_as_deep_as_the_method_reads(trajectory, tmp_path, cli):
    arguments = ["forecast", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
                 "--through", 50, "--target-step", 90, "--method", "next", "--option", "epochs=3",
                 "--out", tmp_path / "v"]  # fmt: skip
    result = cli(*arguments, "--json")
    assert result.status == 0, result.err
    kept = json.loads(result.out)["fit"]["kept"]
    assert set(kept) == set(trajectory.matrices())
    assert list(kept.values()) == pytest.approx([1.0] * len(kept)), "8 triplets of 8 x 12"
    for step, folder in trajectory.folders.items():
        cli("factors", "--base", trajectory.base, "--checkpoint", folder, "--rank", 3,
            "--out", tmp_path / f"F-{step}.safetensors")  # fmt: skip
    stored = [*arguments, "--factors", tmp_path / "F-{step}.safetensors"]
    assert "found 3 triplets at step 10, expected 8" in cli(*stored).error
    assert cli(*stored, "--option", "rank=3").status == 0
