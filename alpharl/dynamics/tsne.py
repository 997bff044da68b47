"""t-SNE of a run's path, on request only: it shows neighbourhoods and little else."""

from __future__ import annotations

import numpy as np
import pandas as pd

CAVEAT = (
    "t-SNE (perplexity {perplexity:.3g}, seed {seed}) keeps neighbourhoods only: distances between "
    "groups, their sizes, and the shape of a curve mean nothing, any smooth path becomes a curve, "
    "and another perplexity or seed draws another picture. Do not read a line out of it; see --pca."
)


def perplexity(points: int) -> float:
    """About how many neighbours each point keeps: a third of the points, 30 at most."""
    return float(min(30.0, max(1.0, (points - 1) / 3)))


def tsne_table(gram_tt: np.ndarray, steps: list[int], seed: int) -> pd.DataFrame:
    """The base and the checkpoints in two dimensions: columns step, x, y.

    Distances between the models' weights follow from the gram.

    Args:
        gram_tt: (T, T) inner products of the updates.
        steps: of the checkpoints.
        seed: of the random start.
    """
    # Heavy, and needed by nothing else.
    from sklearn.manifold import TSNE

    padded = np.pad(gram_tt, ((1, 0), (1, 0)))
    square = np.diag(padded)[:, None] + np.diag(padded)[None] - 2 * padded
    np.fill_diagonal(square, 0)
    distances = np.sqrt(np.clip(square, 0, None))
    model = TSNE(
        metric="precomputed", init="random", perplexity=perplexity(len(padded)), random_state=seed
    )
    # The unit is free; the largest distance as 1 keeps tiny updates above the solver's thresholds.
    points = model.fit_transform(distances / max(distances.max(), np.finfo(float).tiny))
    return pd.DataFrame({"step": [0, *steps], "x": points[:, 0], "y": points[:, 1]})
