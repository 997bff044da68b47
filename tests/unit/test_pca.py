"""Principal components and t-SNE of paths, against dense computations and closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from alpharl.dynamics.nulls import step_lengths
from alpharl.dynamics.pca import COLUMNS, expected_walk, pca_table, principal, total_gram
from alpharl.dynamics.tsne import perplexity, tsne_table
from alpharl.errors import MethodError
from alpharl.spectra.gram import Gram
from tests.unit.trajectories import walk

STEPS = [5, 10, 20, 25, 40, 45, 60, 80]


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(0)


def dense_pca(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates and shares of variance of the base (zero) and the rows, by a float64 SVD."""
    points = np.concatenate([np.zeros((1, rows.shape[1])), rows])
    u, s, _ = np.linalg.svd(points - points.mean(0), full_matrices=False)
    flip = np.where(u[-1] < 0, -1.0, 1.0)
    return (u * s * flip)[:, :k], (s**2 / np.sum(s**2))[:k]


def walk_shares(points: int) -> np.ndarray:
    """Expected share of each component of a walk with equal steps, through so many points.

    The centred gram is the pseudo-inverse of the path graph's Laplacian, whose eigenvalues are
    4 sin^2(pi k / 2n) with cosines as vectors; 6 / (pi^2 k^2) for many points (arXiv 1806.08805).
    """
    inverse = 1 / (4 * np.sin(np.pi * np.arange(1, points) / (2 * points)) ** 2)
    return inverse / inverse.sum()


def gram_of(rows: dict[str, np.ndarray]) -> Gram:
    return Gram(STEPS, {name: path @ path.T for name, path in rows.items()})


@pytest.mark.parametrize("k", [2, 3])
def test_pca_against_a_dense_svd(rng, k):
    rows = walk(rng, 8, 300) + np.outer(np.arange(8), rng.standard_normal(300)) / 10
    coordinates, share = principal(rows @ rows.T, k)
    expected, expected_share = dense_pca(rows, k)
    assert coordinates.shape == (9, k)
    np.testing.assert_allclose(coordinates, expected, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_allclose(share, expected_share, rtol=1e-9)


def test_pca_of_several_grams_is_that_of_each(rng):
    rows = np.stack([walk(rng, 6, 50) for _ in range(3)])
    grams = rows @ rows.swapaxes(1, 2)
    coordinates, share = principal(grams, 2)
    for b in range(3):
        one, part = principal(grams[b], 2)
        np.testing.assert_allclose(coordinates[b], one, atol=1e-12)
        np.testing.assert_allclose(share[b], part, rtol=1e-12)


def test_tensors_are_taken_together(rng):
    """The summed gram is that of all weights in one vector; other tensors stay out."""
    rows = {name: walk(rng, 8, d) for name, d in (("a", 30), ("b", 70), ("c", 10))}
    total = total_gram(gram_of(rows), ["a", "b"])
    both = np.concatenate([rows["a"], rows["b"]], axis=1)
    np.testing.assert_allclose(total, both @ both.T, rtol=1e-12)


def test_the_mean_walk_is_a_lissajous_curve():
    """Equal steps: component k is a cosine of k half turns, its share 6 / (pi^2 k^2)."""
    points = 41
    rows = np.eye(points - 1).cumsum(0)
    gram = expected_walk(rows @ rows.T)
    np.testing.assert_allclose(gram, rows @ rows.T)
    coordinates, share = principal(gram, 3)
    at = (np.arange(points) + 0.5) / points
    for k in (1, 2, 3):
        cosine = np.cos(np.pi * k * at)
        found = coordinates[:, k - 1]
        assert abs(np.corrcoef(cosine, found)[0, 1]) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(share, walk_shares(points)[:3], rtol=1e-9)
    assert walk_shares(2000)[0] == pytest.approx(6 / np.pi**2, rel=1e-3)
    assert walk_shares(2000)[1] == pytest.approx(6 / np.pi**2 / 4, rel=1e-3)


def test_walk_shares_in_the_table_are_the_known_ones(rng):
    """A long run of independent steps lies within its null, whose median is the closed form."""
    steps = list(range(1, 41))
    rows = walk(rng, 40, 20_000)
    rows *= 40 / np.linalg.norm(np.diff(rows, axis=0)) / 40
    table = pca_table(Gram(steps, {"a": rows @ rows.T}), ["a"], 200, seed=0)
    once = table.drop_duplicates("component").set_index("component")
    known = walk_shares(41)
    for k in (1, 2, 3):
        assert once.null_q50[k] == pytest.approx(known[k - 1], abs=0.01)
        assert once.null_q05[k] < once.explained[k] < once.null_q95[k]
        assert once.p[k] > 0.05


def test_a_line_stands_out_of_its_walks(rng):
    rows = np.outer(STEPS, rng.standard_normal(400)) + 0.1 * walk(rng, 8, 400)
    table = pca_table(gram_of({"a": rows}), ["a"], 99, seed=0)
    assert list(table.columns) == COLUMNS
    assert table.step.tolist() == 3 * [0, *STEPS]
    first = table[table.component == 1]
    assert first.explained.iloc[0] > 0.999
    assert first.p.unique() == [1 / 100]
    assert np.corrcoef([0, *STEPS], first.coordinate)[0, 1] == pytest.approx(1, abs=1e-4)
    walked, _ = principal(expected_walk(rows @ rows.T), 3)
    np.testing.assert_allclose(first.walk, walked[:, 0])
    np.testing.assert_allclose(
        np.diag(expected_walk(rows @ rows.T)), np.cumsum(step_lengths(rows @ rows.T) ** 2)
    )


def test_a_run_that_never_moves_has_no_components():
    with pytest.raises(MethodError, match="found 8 checkpoints equal to the base") as error:
        pca_table(Gram(STEPS, {"a": np.zeros((8, 8))}), ["a"], 5, seed=0)
    assert "\n" not in str(error.value)


# --- t-SNE ---


def test_tsne_keeps_neighbours_and_its_seed(rng):
    """Two far groups stay apart; the same seed gives the same picture, another one another."""
    centres = np.repeat(rng.standard_normal((2, 100)), [9, 10], axis=0)
    rows = np.concatenate([centres[:9] * 0, 50 + centres[9:]]) + 0.1 * rng.standard_normal(
        (19, 100)
    )
    gram, steps = rows @ rows.T, list(range(1, 20))
    table = tsne_table(gram, steps, seed=0)
    assert table.step.tolist() == [0, *steps]
    pd.testing.assert_frame_equal(table, tsne_table(gram, steps, seed=0))
    assert not np.allclose(table.x, tsne_table(gram, steps, seed=1).x)
    places = table[["x", "y"]].to_numpy()
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    group = np.arange(20) >= 10
    assert np.array_equal(group[distance.argmin(1)], group)


def test_tsne_does_not_depend_on_the_unit_of_weights(rng):
    rows = walk(rng, 8, 60)
    large, small = (tsne_table(s * rows @ rows.T, STEPS, seed=0) for s in (1.0, 2.0**-60))
    np.testing.assert_allclose(small[["x", "y"]], large[["x", "y"]], rtol=1e-3)


@pytest.mark.parametrize(("points", "expected"), [(4, 1), (21, 20 / 3), (28, 9), (400, 30)])
def test_perplexity_stays_below_the_number_of_points(points, expected):
    assert perplexity(points) == pytest.approx(expected)


def test_dynamics_verb_writes_pca_and_tsne(trajectory, tmp_path, cli):
    pca, tsne = tmp_path / "pca.csv", tmp_path / "tsne.csv"
    arguments = ["dynamics", "--base", trajectory.base, "--checkpoints", trajectory.pattern,
                 "--scores", trajectory.scores, "--permutations", 20,
                 "--out", tmp_path / "T.parquet", "--pca", pca]  # fmt: skip
    result = cli(*arguments)
    assert result.status == 0, result.err
    assert "t-SNE" not in result.out and not tsne.exists(), "only on request"
    rows = np.concatenate(
        [trajectory.stacked(name, trajectory.steps) for name in trajectory.matrices()], axis=1
    )
    expected, share = dense_pca(rows, 3)
    table = pd.read_csv(pca)
    for k in (1, 2, 3):
        part = table[table.component == k]
        np.testing.assert_allclose(part.explained, share[k - 1], rtol=1e-5)
        np.testing.assert_allclose(part.coordinate, expected[:, k - 1], atol=1e-6)
    result = cli(*arguments, "--tsne", tsne)
    assert list(pd.read_csv(tsne).columns) == ["step", "x", "y"]
    assert "perplexity 2, seed 0" in result.out and "mean nothing" in result.out
